//! What happens to a connection when its path takes only shorter packets (RFC 1191; RFC 8201; RFC 9293, 3.7.2).

use super::connection::{Connection, Context};
use crate::address::Address;

impl Connection {
    /// A router has said what the path takes, and quoted a segment that is under way. What is longer is sent again at
    /// once, in shorter segments; the congestion window stays, for nothing says that the network is congested.
    pub(crate) fn path_shrank(&mut self, destination: Address, mtu: u32, context: &mut Context<'_>) {
        let before = self.mss;
        context.ip.learn_path_mtu(destination, mtu, context.env);
        self.refresh_route(context);
        if self.mss < before {
            let mss = self.mss;
            self.records.mark_lost_if(|record| record.segment > mss && record.len > u32::from(mss));
            self.records.limit_segment(mss);
        }
    }
}
