//! `ostia stack explain`: one send followed through all layers, and a connection through all its states, by what the stack
//! tells of itself while it does it.

mod capture;
mod diagram;
mod facts;
mod functions;
mod headers;
mod journey;
mod options;
mod page;
mod states;
mod story;
mod tale;
#[cfg(test)]
mod tests;
mod world;

use crate::args::{ExplainArgs, IpVersion};
use crate::errors::Failure;
use crate::output;
use serde_json::Value;
use story::Plan;

/// Has the story happen, and tells it.
///
/// # Errors
/// When a frame is to be lost that there isn't, or the capture can't be written.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let plan = Plan {
        text: args.text.clone().into_bytes(),
        v6: args.ip == IpVersion::V6,
        close: args.close,
        lose: args.lose.clone(),
        seed: args.seed,
    };
    let story = world::tell(&plan)?;
    if let Some(path) = &args.pcap {
        capture::write(&story, path)?;
    }
    if output::is_json() {
        for object in facts::of(&story) {
            output::print("", || object);
        }
    } else {
        output::print(tale::write(&story, output::width(), output::colors_output()).trim_end(), || Value::Null);
    }
    Ok(())
}
