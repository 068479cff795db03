//! What a scenario can have, as `ostia sim --help` and the manual page tell it.

/// Every key, with its default.
pub const SCENARIO: &str = "\
A scenario is a TOML file. A key that is not named here is refused.

until = \"10min\"           when it ends if its clients are not done by then

[[link]]                  hosts on a link hear each other as on a switch
name = \"lan\"
mtu = 1500                68 to 65535 octets of IP packet; IPv6 needs 1280
rate = \"10Mbit\"           bits a second of each sender: bit, kbit, Mbit, Gbit; else no bound
queue = \"256KiB\"          what waits for the rate at each sender; the rest is dropped
delay = \"0ms\"             how long a frame is on its way, at least
jitter = \"0ms\"            at most how much longer, by chance; the order stays
loss = \"0%\"               how likely a frame is lost; all chances are 0 to 1, or in %
bursts = { enter = \"1%\", leave = \"30%\", loss = \"100%\" }
                          losses that come together; without it there are none
duplication = \"0%\"        how likely a frame arrives twice
reordering = \"0%\"         how likely it is held back and overtaken
held-back = \"5ms\"         for so long
corruption = \"0%\"         how likely one of its bits is turned over

[[host]]
name = \"client\"           the others reach it by this name
link = \"lan\"              needed where there are several; no host is on two
addresses = [\"10.0.0.11/24\", \"2001:db8::11/64\"]
count = 10                so many hosts: client1 with these addresses, client2 with the next, ...

[[host.program]]          what runs on the host above, one of
run = \"serve\"             ostia serve, of a folder: dir = \"site\", or of made-up files:
files = { \"index.html\" = \"3KiB\", \"a.bin\" = \"1MiB\" }
port = 80

run = \"echo\"              ostia echo
port = 7

run = \"download\"          fails if it gets anything but the file that is served
url = \"http://server/a.bin\"
times = 1
sha256 = \"...\"            what is to come, where this scenario has no such server

run = \"echo-client\"       sends random bytes and fails if others come back
to = \"server:7\"
bytes = \"64KiB\"
times = 1
pause = \"0ms\"             between two times

[[cut]]                   hosts that the others of their link can't reach for a time
link = \"lan\"
from = \"1s\"
until = \"3s\"
hosts = [\"client1\"]

Times count from the beginning. In a world with IPv6 addresses programs begin after 2.5 s, when these
are known to be nobody else's (RFC 4862, 5.4).";

#[cfg(test)]
mod tests {
    use super::super::scenario;
    use super::SCENARIO;

    /// Takes what is told as a scenario, but for its remarks: so no key is misspelt, and none is missing.
    #[test]
    fn what_is_told_is_a_scenario_with_every_key() {
        let code = |line: &str| line.find("  ").map_or(line, |at| &line[..at]).trim_end().to_owned();
        let lines = SCENARIO.lines().map(code).filter(|line| line.starts_with('[') || line.contains(" = "));
        let text = lines.map(|line| if line.starts_with("run") { format!("[[host.program]]\n{line}\n") } else { line + "\n" });
        let text = text.collect::<String>().replacen("[[host.program]]\n", "", 1);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("told.toml");
        std::fs::write(&path, &text).expect("a file");
        let told = scenario::read(&path).unwrap_or_else(|failure| panic!("{}\n{text}", failure.what));
        assert_eq!((told.link.len(), told.host.len(), told.cut.len()), (1, 1, 1));
        let shown = format!("{told:?}");
        // A folder excludes files, and is named in a remark.
        assert_eq!(shown.matches(": None").count(), 1, "{shown}");
        assert!(shown.contains("dir: None") && told.host[0].program.len() == 4, "{shown}");
    }
}
