//! Code snippets: comparisons of `tcp_info`'s fields, in a form that Python takes too.

use std::format;
use std::string::String;
use std::vec::Vec;

use crate::TcpInfo;

/// Checks `assert a == 1 and b >= 2`.
pub(super) fn check(code: &str, info: &TcpInfo) -> Result<(), String> {
    let Some(conditions) = code.strip_prefix("assert ") else {
        return Err(format!("only assert is understood, not {code}"));
    };
    for condition in conditions.split(" and ") {
        let words: Vec<&str> = condition.split_whitespace().collect();
        let [name, operator, number] = words[..] else {
            return Err(format!("not a comparison: {condition}"));
        };
        let found = field(name, info)?;
        let number: u64 = number.parse().map_err(|error| format!("{number}: {error}"))?;
        let holds = match operator {
            "==" => found == number,
            "!=" => found != number,
            "<" => found < number,
            "<=" => found <= number,
            ">" => found > number,
            ">=" => found >= number,
            _ => return Err(format!("no such comparison: {operator}")),
        };
        if !holds {
            return Err(format!("assert {condition} fails: {name} is {found}"));
        }
    }
    Ok(())
}

/// A field as Linux has it: times in microseconds, states by their number.
fn field(name: &str, info: &TcpInfo) -> Result<u64, String> {
    let micros = |time: core::time::Duration| time.as_micros() as u64;
    Ok(match name {
        "tcpi_state" => info.tcpi_state.number().into(),
        "tcpi_ca_state" => info.tcpi_ca_state.into(),
        "tcpi_retransmits" => info.tcpi_retransmits.into(),
        "tcpi_probes" => info.tcpi_probes.into(),
        "tcpi_backoff" => info.tcpi_backoff.into(),
        "tcpi_options" => info.tcpi_options.into(),
        "tcpi_snd_wscale" => info.tcpi_snd_wscale.into(),
        "tcpi_rcv_wscale" => info.tcpi_rcv_wscale.into(),
        "tcpi_rto" => micros(info.tcpi_rto),
        "tcpi_snd_mss" => info.tcpi_snd_mss.into(),
        "tcpi_rcv_mss" => info.tcpi_rcv_mss.into(),
        "tcpi_unacked" => info.tcpi_unacked.into(),
        "tcpi_sacked" => info.tcpi_sacked.into(),
        "tcpi_lost" => info.tcpi_lost.into(),
        "tcpi_retrans" => info.tcpi_retrans.into(),
        "tcpi_rtt" => micros(info.tcpi_rtt),
        "tcpi_rttvar" => micros(info.tcpi_rttvar),
        "tcpi_snd_ssthresh" => info.tcpi_snd_ssthresh.into(),
        "tcpi_snd_cwnd" => info.tcpi_snd_cwnd.into(),
        "tcpi_total_retrans" => info.tcpi_total_retrans.into(),
        "tcpi_dsack_dups" => info.tcpi_dsack_dups.into(),
        "tcpi_notsent_bytes" => info.tcpi_notsent_bytes.into(),
        _ => return Err(format!("no such field: {name}")),
    })
}
