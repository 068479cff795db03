//! A DNS server for the tests: it answers each question as the test says, over UDP and TCP on one port.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ostia::net::{Stream, TcpListener, UdpSocket};
use ostia::spawn;
use simple_dns::rdata::{A, AAAA, CNAME, NS, RData, SOA};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};

/// A question as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    pub id: u16,
    pub name: String,
    /// For an IPv6 address, not for an IPv4 one.
    pub v6: bool,
    pub tcp: bool,
    pub from: SocketAddr,
    message: Vec<u8>,
}

/// What one is answered with: any number of messages.
pub type Answers = Vec<Vec<u8>>;

/// A reply to be filled.
pub struct Reply(Packet<'static>);

fn name(text: &str) -> Name<'static> {
    Name::new(text).expect("a name").into_owned()
}

impl Asked {
    fn read(message: &[u8], tcp: bool, from: SocketAddr) -> Asked {
        let packet = Packet::parse(message).expect("a question");
        assert!(packet.questions.len() == 1 && packet.has_flags(PacketFlag::RECURSION_DESIRED));
        let question = &packet.questions[0];
        let v6 = match question.qtype {
            QTYPE::TYPE(TYPE::A) => false,
            QTYPE::TYPE(TYPE::AAAA) => true,
            other => panic!("a question for {other:?}"),
        };
        let (name, message) = (question.qname.to_string(), message.to_vec());
        Asked { id: packet.id(), name, v6, tcp, from, message }
    }

    /// A reply with the question in it.
    pub fn reply(&self) -> Reply {
        let mut packet = Packet::new_reply(self.id);
        packet.set_flags(PacketFlag::RECURSION_AVAILABLE);
        let question = Packet::parse(&self.message).expect("was read").questions[0].clone();
        packet.questions.push(question.into_owned());
        Reply(packet)
    }

    /// The usual reply: these of the addresses that are of the family asked for.
    pub fn with(&self, addresses: &[&str]) -> Answers {
        let mut reply = self.reply();
        for address in addresses.iter().map(|text| text.parse::<IpAddr>().expect("an address")) {
            if address.is_ipv6() == self.v6 {
                reply = reply.address(&self.name, address, 3600);
            }
        }
        vec![reply.bytes()]
    }
}

impl Reply {
    fn record(mut self, owner: &str, ttl: u32, data: RData<'static>) -> Reply {
        self.0.answers.push(ResourceRecord::new(name(owner), CLASS::IN, ttl, data));
        self
    }

    pub fn address(self, owner: &str, address: IpAddr, ttl: u32) -> Reply {
        let data = match address {
            IpAddr::V4(v4) => RData::A(A { address: v4.into() }),
            IpAddr::V6(v6) => RData::AAAA(AAAA { address: v6.into() }),
        };
        self.record(owner, ttl, data)
    }

    pub fn alias(self, owner: &str, target: &str, ttl: u32) -> Reply {
        self.record(owner, ttl, RData::CNAME(CNAME(name(target))))
    }

    /// The zone's record that says how long it holds that there is nothing.
    pub fn zone(mut self, minimum: u32) -> Reply {
        let zone = SOA {
            mname: name("ns.example"),
            rname: name("root.example"),
            serial: 1,
            refresh: 3600,
            retry: 600,
            expire: 86_400,
            minimum,
        };
        self.0.name_servers.push(ResourceRecord::new(name("example"), CLASS::IN, 3600, RData::SOA(zone)));
        self
    }

    /// Names another server, and says that it asks nobody.
    pub fn referral(mut self) -> Reply {
        self.0.remove_flags(PacketFlag::RECURSION_AVAILABLE);
        self.0.name_servers.push(ResourceRecord::new(name("example"), CLASS::IN, 3600, RData::NS(NS(name("ns.example")))));
        self
    }

    pub fn code(mut self, code: RCODE) -> Reply {
        *self.0.rcode_mut() = code;
        self
    }

    pub fn cut(mut self) -> Reply {
        self.0.set_flags(PacketFlag::TRUNCATION);
        self
    }

    pub fn id(mut self, id: u16) -> Reply {
        self.0.set_id(id);
        self
    }

    /// Another question than was asked.
    pub fn question(mut self, text: &str) -> Reply {
        self.0.questions[0].qname = name(text);
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.build_bytes_vec_compressed().expect("a message")
    }
}

/// A server that is running, and what it was asked.
pub struct Server {
    pub address: SocketAddr,
    asked: Rc<RefCell<Vec<Asked>>>,
}

impl Server {
    /// Starts one on loopback. `answer` says what each question is answered with.
    pub fn start(answer: impl Fn(&Asked) -> Answers + 'static) -> Server {
        Server::start_at("127.0.0.1:0".parse().expect("address"), answer)
    }

    /// Starts one on this address of the current network.
    pub fn start_at(address: SocketAddr, answer: impl Fn(&Asked) -> Answers + 'static) -> Server {
        let (udp, mut tcp) = same_port(address);
        let address = udp.local_addr().expect("address");
        let asked = Rc::new(RefCell::new(Vec::new()));
        let answer = Rc::new(answer);
        let (log, answer_udp) = (asked.clone(), answer.clone());
        spawn(async move {
            let mut udp = udp;
            loop {
                let (received, message) = udp.recv_from(Vec::with_capacity(2048)).await;
                let Ok((_, from)) = received else { continue };
                let asked = Asked::read(&message, false, from);
                log.borrow_mut().push(asked.clone());
                for answer in answer_udp(&asked) {
                    let _ = udp.send_to(answer, from).await;
                }
            }
        })
        .detach();
        let log = asked.clone();
        spawn(async move {
            while let Ok(stream) = tcp.accept().await {
                let (log, answer) = (log.clone(), answer.clone());
                spawn(async move { over_tcp(stream.into(), &log, &*answer).await }).detach();
            }
        })
        .detach();
        Server { address, asked }
    }

    /// What it was asked up to now.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.borrow().clone()
    }
}

/// A UDP and a TCP socket on one port.
fn same_port(address: SocketAddr) -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind(address).expect("bind");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("address")) {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both");
}

async fn over_tcp(mut stream: Stream, log: &RefCell<Vec<Asked>>, answer: &dyn Fn(&Asked) -> Answers) {
    let mut received = Vec::new();
    while let Ok(Some(chunk)) = stream.recv().await {
        received.extend_from_slice(&chunk);
        if received.len() >= 2 && received.len() == 2 + usize::from(u16::from_be_bytes([received[0], received[1]])) {
            break;
        }
    }
    if received.len() <= 2 {
        return;
    }
    let from = stream.peer_addr().ok().and_then(|address| address.ip()).expect("a peer");
    let asked = Asked::read(&received[2..], true, from);
    log.borrow_mut().push(asked.clone());
    for answer in answer(&asked) {
        // In two pieces, as the network may cut it.
        let mut whole = u16::try_from(answer.len()).expect("short").to_be_bytes().to_vec();
        whole.extend(answer);
        let rest = whole.split_off(1);
        if stream.send(whole).await.is_err() || stream.flush().await.is_err() || stream.send(rest).await.is_err() {
            return;
        }
    }
}
