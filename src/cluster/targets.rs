//! From `mon host` to addresses that can be dialled.

use crate::config::{MonAddr, MonHost};
use crate::error::{Error, ErrorKind, Result};
use crate::mon::MonTarget;
use crate::msgr::Options;
use crate::net::{Deadline, Resolver};
use crate::types::{EntityType, NoAddr};

/// The addresses at which the monitors may be dialled.
pub(super) fn resolve(
    hosts: Vec<MonHost>,
    options: &Options,
    deadline: Deadline,
) -> Result<Vec<MonTarget>> {
    let resolver = Resolver::default();
    let mut mons = Vec::new();
    let mut failed = None;
    for host in hosts {
        match &host.at {
            MonAddr::Addrs(_) => mons.push(host),
            MonAddr::Host { host: name, port } => {
                match resolver.resolve(name, *port, deadline) {
                    Ok(addrs) => {
                        let ips: Vec<_> = addrs.iter().map(|a| a.ip()).collect();
                        mons.extend(host.resolved(&ips));
                    }
                    Err(e) => {
                        // One monitor that is not found does not keep us from the others.
                        log::warn!("{e}");
                        failed = Some(e);
                    }
                }
            }
        }
    }
    let targets = targets(&mons, options);
    match (targets, failed) {
        (Ok(targets), _) if !targets.is_empty() => Ok(targets),
        (_, Some(e)) => Err(e),
        (Err(e), None) => {
            Err(Error::new(ErrorKind::Config, format!("mon host has {e}")).with_source(e))
        }
        (Ok(_), None) => Err(Error::new(ErrorKind::Config, "mon host names no monitor")),
    }
}

/// The monitors' addresses, and why there are none. A monitor that is two in the list, because an
/// address is of either messenger, is one again.
fn targets(mons: &[MonHost], options: &Options) -> std::result::Result<Vec<MonTarget>, NoAddr> {
    let mut targets = Vec::new();
    let mut only = None;
    let mut rank = 0;
    let mut last = None;
    for mon in mons {
        let MonAddr::Addrs(addrs) = &mon.at else { continue };
        let name = mon.name.strip_suffix("-legacy").unwrap_or(&mon.name);
        if last.replace(name).is_some_and(|last| last != name) {
            rank += 1;
        }
        match options.candidates(EntityType::CLIENT, EntityType::MON, addrs) {
            Ok(all) => targets.extend(all.into_iter().map(|addr| MonTarget { rank, addr })),
            Err(e) => only = Some(e),
        }
    }
    match only {
        Some(e) if targets.is_empty() => Err(e),
        _ => Ok(targets),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::ConMode;
    use crate::config::{Config, Env};
    use crate::types::Msgr;

    fn shown(mon_host: &str, options: &Options) -> String {
        let config = Config::builder(Env::default()).no_config_file().set("mon_host", mon_host);
        let mons = config.load().unwrap().mon_hosts().unwrap();
        match resolve(mons, options, Deadline::after(std::time::Duration::ZERO)) {
            Ok(targets) => {
                let shown = targets.iter().map(|MonTarget { rank, addr }| format!("{rank} {addr}"));
                shown.collect::<Vec<_>>().join(", ")
            }
            Err(e) => format!("{:?}: {e}", e.kind()),
        }
    }

    #[test]
    fn each_address_of_a_monitor_that_may_be_dialled_is_a_target() {
        for (mon_host, auto, v1, v2) in [
            (
                "1.2.3.4,1.2.3.5",
                "0 v2:1.2.3.4:3300/0, 0 v1:1.2.3.4:6789/0, \
                 1 v2:1.2.3.5:3300/0, 1 v1:1.2.3.5:6789/0",
                "0 v1:1.2.3.4:6789/0, 1 v1:1.2.3.5:6789/0",
                "0 v2:1.2.3.4:3300/0, 1 v2:1.2.3.5:3300/0",
            ),
            // A port that tells nothing.
            (
                "1.2.3.4:40000",
                "0 v2:1.2.3.4:40000/0, 0 v1:1.2.3.4:40000/0",
                "0 v1:1.2.3.4:40000/0",
                "0 v2:1.2.3.4:40000/0",
            ),
            (
                "[v2:1.2.3.4:1,v1:1.2.3.4:2] [v2:1.2.3.5:1,v1:1.2.3.5:2]",
                "0 v2:1.2.3.4:1/0, 0 v1:1.2.3.4:2/0, 1 v2:1.2.3.5:1/0, 1 v1:1.2.3.5:2/0",
                "0 v1:1.2.3.4:2/0, 1 v1:1.2.3.5:2/0",
                "0 v2:1.2.3.4:1/0, 1 v2:1.2.3.5:1/0",
            ),
            (
                "v1:1.2.3.4,v2:1.2.3.5",
                "0 v1:1.2.3.4:6789/0, 1 v2:1.2.3.5:3300/0",
                "0 v1:1.2.3.4:6789/0",
                "1 v2:1.2.3.5:3300/0",
            ),
            (
                "1.2.3.4:6789",
                "0 v1:1.2.3.4:6789/0",
                "0 v1:1.2.3.4:6789/0",
                "Config: mon host has no address of messenger v2, only v1:1.2.3.4:6789/0",
            ),
        ] {
            let options = |msgr| Options { msgr, ..Options::default() };
            assert_eq!(shown(mon_host, &options(Msgr::Auto)), auto);
            assert_eq!(shown(mon_host, &options(Msgr::V1)), v1);
            assert_eq!(shown(mon_host, &options(Msgr::V2)), v2);
        }
    }

    #[test]
    fn where_all_must_be_secret_messenger_v1_is_no_way_in() {
        let mon_modes: &[_] = &[ConMode::Secure];
        let options = |msgr| Options { msgr, mon_modes, ..Options::default() };
        assert_eq!(shown("1.2.3.4", &options(Msgr::Auto)), "0 v2:1.2.3.4:3300/0");
        assert_eq!(
            shown("v1:1.2.3.4", &options(Msgr::Auto)),
            "Config: mon host has no address of messenger v2, only v1:1.2.3.4:6789/0: \
             messenger v1 has no secure mode"
        );
        assert_eq!(
            shown("1.2.3.4", &options(Msgr::V1)),
            "Config: mon host has no address to dial: messenger v1 has no secure mode, and no other \
             is allowed"
        );
    }
}
