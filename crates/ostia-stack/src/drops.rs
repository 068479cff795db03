//! Why packets are dropped: every one that isn't used counts under a reason.

use core::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)*];

            /// The reason in words, as counters and captures show it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => $text,)*
                }
            }
        }
    };
}

reasons! {
    // Frames.
    /// A header that is cut, or says lengths that can't be.
    Malformed = "malformed header",
    /// An Ethernet frame for somebody else.
    OtherHost = "for another host",
    /// A kind of frame or of IP payload that nobody here knows.
    UnknownProtocol = "unknown protocol",
    // IP.
    /// The IPv4 header's checksum is wrong.
    IpChecksum = "IP header checksum wrong",
    /// The link is down, or there is none of that number.
    LinkDown = "link down",
    /// A source address that can't be one (RFC 1122, 3.2.1.3).
    MartianSource = "source address impossible",
    /// A destination address that can't be one, or that isn't on this host.
    MartianDestination = "destination address impossible",
    /// Not for this host, which doesn't forward.
    NotForUs = "not for this host",
    /// A source route, which is refused (RFC 7126).
    SourceRoute = "source route",
    /// No hop left to forward it (RFC 1812, 5.3.1).
    HopLimit = "hop limit exceeded",
    /// Longer than the next link's MTU, and not to be fragmented.
    TooBig = "longer than the MTU",
    /// No route leads to the destination.
    NoRoute = "no route",
    /// The next hop's link address wasn't found out.
    NoNeighbour = "next hop does not answer",
    /// Too much waits for the next hop's link address.
    NeighbourQueue = "queue for the next hop full",
    /// A fragment overlaps another (RFC 5722).
    FragmentOverlap = "fragments overlap",
    /// A fragment with too few bytes, or lengths that don't fit (RFC 1858, RFC 8200 4.5).
    FragmentBad = "fragment too small or misplaced",
    /// Fragments that were not completed in time (RFC 1122, 3.3.2).
    FragmentTimeout = "fragments not completed in time",
    /// More fragments than the bounds allow, of one source or in all.
    FragmentMemory = "too many fragments",
    /// An extension header or option that says to drop the packet (RFC 8200, 4.2).
    ExtensionHeader = "extension header not taken",
    // ARP, ICMP, NDP, groups, configuration.
    /// The checksum of ICMP, IGMP, UDP or TCP is wrong.
    Checksum = "checksum wrong",
    /// A redirect that isn't followed: not from the router in use, to no neighbour, or to a host that follows none.
    Redirect = "redirect not followed",
    /// A router's advertisement on a link that isn't configured by them.
    AdvertsOff = "router advertisements not taken here",
    /// Somebody else uses an address of this host (RFC 5227; RFC 4862, 5.4).
    AddressConflict = "address used by another host",
    /// A question about group membership that isn't valid (RFC 9776, 9; RFC 9777, 6).
    QueryInvalid = "membership message not valid",
    /// An echo request to a group or to all, which is not answered (RFC 1122, 3.2.2.6).
    EchoToGroup = "echo request to a group",
    /// A DHCP message that answers nothing that was asked.
    DhcpUnmatched = "DHCP message that answers nothing",
    /// Too much waits to be sent for a packet that somebody else has prompted.
    TransmitQueue = "transmit queue full",
    /// More packets wait for this host itself than may.
    LoopbackQueue = "loopback queue full",
    /// NDP from farther than the link (RFC 4861, 6.1 and 7.1), or otherwise not valid by it.
    NdpInvalid = "neighbour discovery message not valid",
    /// More answers or neighbours than the bounds allow.
    RateLimit = "over a rate limit",
    /// An ICMP message about nothing that is here.
    IcmpUnmatched = "ICMP about nothing that is here",
    /// An ICMP error that must not be believed.
    IcmpUnbelieved = "ICMP quotes no live sequence number",
    // UDP, raw and ping sockets.
    /// Nobody listens on that port.
    NoSocket = "no socket",
    /// The socket's queue is full.
    SocketQueue = "socket queue full",
    // TCP.
    /// The source and destination are one (LAND), or TCP over a broadcast or a group.
    TcpAddress = "TCP addresses impossible",
    /// An option with a length that can't be.
    TcpOption = "TCP option malformed",
    /// Flags that nobody sends together.
    TcpFlags = "TCP flags impossible",
    /// A signature on a connection without a key (RFC 2385, RFC 5925).
    TcpSignature = "TCP MD5 or AO option without a key",
    /// A segment outside the receive window (RFC 9293, 3.10.7.4).
    TcpWindow = "outside the receive window",
    /// A timestamp older than the newest (PAWS; RFC 7323, 5.3).
    TcpPaws = "timestamp too old",
    /// An acknowledgment of what was never sent (RFC 5961, 5).
    TcpUnsentAck = "acknowledges what was not sent",
    /// An acknowledgment that is too old (RFC 5961, 5).
    TcpOldAck = "acknowledgment too old",
    /// A segment without ACK where one is needed.
    TcpNoAck = "no ACK",
    /// A reset with the wrong sequence number (RFC 5961, 3).
    TcpReset = "reset not at the next sequence number",
    /// A SYN on an open connection (RFC 5961, 4).
    TcpSyn = "SYN on an open connection",
    /// Data that was received before.
    TcpDuplicate = "received before",
    /// A bound of out-of-order data.
    TcpReassembly = "out-of-order queue full",
    /// Data for a socket that its program has closed.
    TcpClosed = "data after close",
    /// The SYN queue is full and cookies are off.
    SynQueue = "SYN queue full",
    /// The accept queue is full.
    AcceptQueue = "accept queue full",
    /// An acknowledgment with no valid cookie.
    CookieInvalid = "SYN cookie not valid",
    /// A hook said no before anything was kept.
    Refused = "refused by the accept hook",
    // All.
    /// The memory budget is used up.
    Memory = "memory budget used up",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many packets were dropped for each reason.
#[derive(Clone, Debug)]
pub struct Drops([u64; Reason::ALL.len()]);

impl Default for Drops {
    fn default() -> Drops {
        Drops([0; Reason::ALL.len()])
    }
}

impl Drops {
    /// Counts one.
    pub(crate) fn count(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }

    /// How many there were for one reason.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// How many there were in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u64)> + '_ {
        Reason::ALL.iter().map(|&reason| (reason, self.get(reason))).filter(|&(_, count)| count > 0)
    }
}
