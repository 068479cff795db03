//! What happens to a connection when its path takes only shorter packets (RFC 1191; RFC 8201; RFC 9293, 3.7.2).

use super::connection::{Connection, Context};
use crate::address::Address;

/// The most that SACK blocks take of a segment: four of them, with kind and length and two NOPs to align them (RFC 2018, 3).
const MOST_SACK: u16 = 36;

impl Connection {
    /// A router has said what the path takes, and quoted a segment that is under way. What is longer is sent again at
    /// once, in shorter segments; the congestion window stays, for nothing says that the network is congested.
    pub(crate) fn path_shrank(&mut self, destination: Address, mtu: u32, context: &mut Context<'_>) {
        let before = self.mss;
        context.ip.learn_path_mtu(destination, mtu, context.env);
        self.refresh_route(context);
        if self.mss < before {
            let mss = self.mss;
            self.records.mark_lost_if(|record| {
                // What a segment had less than it could, SACK blocks took: it was as long.
                let blocks = before.saturating_sub(record.segment);
                let blocks = if blocks <= MOST_SACK { blocks } else { 0 };
                record.len.min(u32::from(record.segment)) + u32::from(blocks) > u32::from(mss)
            });
            self.records.limit_segment(mss);
        }
    }
}
