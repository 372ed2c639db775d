//! What `--simulate` and `--simulate-faults` take. Knows nothing of the rest, so that the man page can be made from it.

use std::str::FromStr;
use std::time::Duration;

/// Most VMs of a simulated node.
pub(crate) const VMS_MAX: u32 = 10_000;

/// What to simulate.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simulation {
    /// VMs that are there from the start.
    pub(crate) vms: u32,
    /// What goes wrong.
    pub(crate) faults: Vec<Disturbance>,
}

/// One thing that goes wrong, as the command line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Calls of a method fail, each nth.
    Fails { call: &'static str, every: u64 },
    /// Calls of a method take longer.
    Slow { call: &'static str, by: Duration },
    /// libvirt goes away for so long, again and again.
    Away { time: Duration, every: Duration },
    /// The QEMU of some VM dies, again and again.
    Crashes { every: Duration },
}

/// Words of the command line, and the calls they stand for.
const CALLS: [(&str, &str); 12] = [
    ("define", "ensure_defined"),
    ("start", "ensure_started"),
    ("shutdown", "request_shutdown"),
    ("destroy", "ensure_destroyed"),
    ("reboot", "request_reboot"),
    ("pause", "ensure_paused"),
    ("resume", "ensure_resumed"),
    ("undefine", "ensure_undefined"),
    ("disk", "ensure_volume"),
    ("image", "fetch"),
    ("read", "observe"),
    ("sample", "sample_vms"),
];

/// What `--simulate-faults` takes, for its help and for what is wrong with it.
pub(crate) const FAULTS_HELP: &str = "CALL=fail, CALL=fail@N (each Nth), CALL=slow:SECONDS, libvirt=down:SECONDS/EVERY, vm=crash/EVERY; \
    CALL is define, start, shutdown, destroy, reboot, pause, resume, undefine, disk, image, read or sample; several with commas";

impl FromStr for Disturbance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no fault: write {FAULTS_HELP}");
        let (about, what) = text.split_once('=').ok_or_else(wrong)?;
        if about == "libvirt" {
            let (time, every) = what.strip_prefix("down:").and_then(|times| times.split_once('/')).ok_or_else(wrong)?;
            let (time, every) = (seconds(time).ok_or_else(wrong)?, seconds(every).ok_or_else(wrong)?);
            if time >= every {
                return Err(format!("'{text}': it must be down for a shorter time than that from one outage to the next"));
            }
            return Ok(Self::Away { time, every });
        }
        if about == "vm" {
            let every = what.strip_prefix("crash/").and_then(seconds).ok_or_else(wrong)?;
            return Ok(Self::Crashes { every });
        }
        let call = CALLS.iter().find(|(word, _)| *word == about).map(|(_, call)| *call).ok_or_else(wrong)?;
        if what == "fail" {
            return Ok(Self::Fails { call, every: 1 });
        }
        if let Some(every) = what.strip_prefix("fail@") {
            return Ok(Self::Fails { call, every: every.parse().ok().filter(|every| (1..=1_000_000).contains(every)).ok_or_else(wrong)? });
        }
        let by = what.strip_prefix("slow:").and_then(seconds).ok_or_else(wrong)?;
        Ok(Self::Slow { call, by })
    }
}

/// `20`, `20s` or `0.5s`; more than nothing, and at most a day.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s').unwrap_or(text).parse().ok()?;
    (seconds > 0.0 && seconds <= 86_400.0).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Disturbance, String> {
        text.parse()
    }

    #[test]
    fn faults_are_read_as_the_help_says() {
        assert_eq!(read("start=fail"), Ok(Disturbance::Fails { call: "ensure_started", every: 1 }));
        assert_eq!(read("image=fail@3"), Ok(Disturbance::Fails { call: "fetch", every: 3 }));
        assert_eq!(read("disk=slow:0.5s"), Ok(Disturbance::Slow { call: "ensure_volume", by: Duration::from_millis(500) }));
        let away = Disturbance::Away { time: Duration::from_secs(20), every: Duration::from_secs(300) };
        assert_eq!(read("libvirt=down:20/300s"), Ok(away));
        assert_eq!(read("vm=crash/60"), Ok(Disturbance::Crashes { every: Duration::from_secs(60) }));
    }

    #[test]
    fn what_is_no_fault_is_refused_with_what_would_be_right() {
        for text in ["", "start", "start=slow", "start=fail@0", "sing=fail", "libvirt=down:5", "vm=crash/0", "disk=slow:-1", "start=fail:3"]
        {
            assert!(read(text).is_err_and(|error| error.contains("CALL=fail")), "{text}");
        }
        assert!(read("libvirt=down:300/20").unwrap_err().contains("shorter"));
    }

    #[test]
    fn every_word_stands_for_a_call_and_is_in_the_help() {
        for (word, _) in CALLS {
            assert!(FAULTS_HELP.contains(word), "{word}");
        }
    }
}
