//! That `ostia serve`, `ostia echo` and their clients read no clock and no randomness but a simulation's: the guard of
//! `ostia-sim`, which is part of this binary, would end it.

use ostia_cli::sim::Plan;
use std::path::Path;

#[test]
fn servers_and_clients_read_nothing_of_the_machine() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    for name in ["serve.toml", "slow.toml", "cut.toml"] {
        let plan = Plan::read(&scenarios.join(name)).expect(name);
        let report = plan.run(1, None).expect(name);
        assert!(report.succeeded(), "{name}: {report:#?}");
    }
}
