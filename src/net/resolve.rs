use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};

use super::Deadline;
use super::waiter::Waiter;
use crate::error::{Error, ErrorKind, Result};

/// Look-ups that may be under way at once: one that hangs keeps its thread.
const MAX_THREADS: usize = 8;

/// Looks host names up. getaddrinfo(3) can neither be cancelled nor given a deadline, so each
/// look-up has a thread of its own, which is left behind where it takes too long.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolver(Arc<AtomicUsize>);

impl Resolver {
    /// The addresses of a host, with that port; at least one.
    pub(crate) fn resolve(
        &self,
        host: &str,
        port: u16,
        deadline: Deadline,
    ) -> Result<Vec<SocketAddr>> {
        let failed =
            |why: &str| Error::new(ErrorKind::Resolve, format!("the host name {host:?}: {why}"));
        if self.0.fetch_add(1, AcqRel) >= MAX_THREADS {
            self.0.fetch_sub(1, AcqRel);
            return Err(failed("too many look-ups hang already"));
        }
        let (count, found) = (self.0.clone(), Arc::new(Waiter::new()));
        let (name, answer) = (host.to_owned(), found.clone());
        let spawned = std::thread::Builder::new().name("msgr-resolve".into()).spawn(move || {
            let addrs = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
            count.fetch_sub(1, AcqRel);
            answer.fill(addrs);
        });
        if let Err(e) = spawned {
            self.0.fetch_sub(1, AcqRel);
            return Err(failed(&e.to_string()));
        }
        match found.wait(deadline)? {
            None => Err(Error::new(
                ErrorKind::Timeout,
                format!("the host name {host:?} was not resolved in time"),
            )),
            Some(Err(e)) => Err(failed(&e.to_string())),
            Some(Ok(addrs)) if addrs.is_empty() => Err(failed("it has no address")),
            Some(Ok(addrs)) => Ok(addrs),
        }
    }
}
