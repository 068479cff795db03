//! iperf3 through a forwarder: into Ostia's stack, out of the kernel's, to a server in another namespace, and back.

use std::process::Command;

use super::program::own_stack;
use super::space::{Namespace, cable, in_namespace, run};
use crate::support::process::Process;
use crate::support::scaled;

#[test]
fn iperf3_measures_both_ways() {
    in_namespace(concat!(module_path!(), "::iperf3_measures_both_ways"), &["iperf3"], |_| {
        let far = Namespace::new();
        cable(("near", "10.9.0.1/24"), &far, ("far", "10.9.0.2/24"));
        let server =
            far.within(|| Process::start(Command::new("iperf3").args(["--server", "--forceflush", "--bind", "10.9.0.2"])));
        let forwarder = own_stack(&["forward", "10.7.0.2:5201", "10.9.0.2:5201"]);
        let listens = forwarder.output.wait_for(|line| line.starts_with("listening").then_some(()));
        listens.unwrap_or_else(|| panic!("it does not listen: {}", forwarder.errors.text()));
        let bytes = scaled(64u64 << 20, 2 << 30);
        for (number, way) in (1..).zip(["", "--reverse", "--bidir", "--parallel 8", "--parallel 8 --reverse"]) {
            // It says so anew when it is done with the one before.
            let listens = format!("(test #{number})");
            server.output.wait_for(|line| line.contains(&listens).then_some(())).expect("iperf3 listens");
            let ended = run("iperf3", &format!("--client 10.7.0.2 --json --bytes {bytes} {way}"));
            let said = String::from_utf8_lossy(&ended.stdout).into_owned();
            let report: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
            assert!(ended.status.success() && report["error"].is_null(), "{way}: {said}");
            let received = report["end"]["sum_received"]["bytes"].as_u64().expect("iperf3 says how much came");
            // What is in the buffers on the way when the sender has sent enough is not counted.
            assert!(received >= bytes / 4, "{way}: {received} of {bytes}");
        }
    });
}
