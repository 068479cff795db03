//! Who is asleep, as far as the system tells.

use super::queue::Suspect;
use crate::os::asleep::is_asleep;

/// Looks at each member and notes whether it is asleep. One that can't be looked at stays what it was.
pub(super) fn look(suspects: &mut [Suspect]) {
    for suspect in suspects {
        if let Some(asleep) = is_asleep(suspect.thread) {
            suspect.asleep = asleep;
        }
    }
}
