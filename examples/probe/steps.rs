//! The steps, in their order.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ceph_msgr::auth::{CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, CEPH_AUTH_UNKNOWN, ConMode};
use ceph_msgr::denc::Writer;
use ceph_msgr::messages::auth::{MAuth, MAuthReply};
use ceph_msgr::messages::{Body as _, types};
use ceph_msgr::msgr::v1::{Hello, Incoming};
use ceph_msgr::msgr::{Fault, protocol_version};
use ceph_msgr::types::{EntityAddr, EntityType, Features, Msgr};
use serde_json::{Value, json};

use crate::link::{Broken, Link, Negotiation, Peer, Show, our_name};
use crate::report::{Report, features, ms};
use crate::target::{Place, Target};

/// How many keepalives are timed.
pub(crate) const KEEPALIVES: usize = 10;
/// Every feature there may be: bits 62 and 63 are reserved, and 63 is taken for a mistake.
const ANY_FEATURES: Features = Features(!(1 << 62 | 1 << 63));
/// The kinds of daemon that clients dial.
const KINDS: [EntityType; 4] = [EntityType::MON, EntityType::OSD, EntityType::MDS, EntityType::MGR];

/// A step failed that the next one needs; the report has it.
#[derive(Debug)]
pub(crate) struct Stop;

/// One run.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) target: Target,
    pub(crate) kind: Option<EntityType>,
    pub(crate) timeout: Duration,
    pub(crate) report: Report,
    msgr: Msgr,
    /// What is offered with messenger v2.
    pub(crate) modes: Vec<ConMode>,
    /// How long connect replies, or answers of the handshake, took.
    pub(crate) round_trips: Vec<Duration>,
}

impl Probe {
    pub(crate) fn new(
        target: Target,
        kind: Option<EntityType>,
        timeout: Duration,
        report: Report,
        msgr: Msgr,
        modes: Vec<ConMode>,
    ) -> Self {
        Self { target, kind, timeout, report, msgr, modes, round_trips: Vec::new() }
    }

    /// Goes through the steps, to the last or to one that failed and the next one needs.
    pub(crate) fn run(mut self) -> Report {
        let _: Result<(), Stop> = self.steps();
        self.report
    }

    fn steps(&mut self) -> Result<(), Stop> {
        let addrs = self.resolve()?;
        let mut link = self.tcp(&addrs)?;
        let to = link.peer.to;
        if self.msgr == Msgr::V2 {
            drop(link);
            return self.v2_steps(to);
        }
        let Some(hello) = self.banner(&mut link)? else {
            drop(link);
            return self.v2_steps(to);
        };
        self.report.fact("msgr", json!("v1"));
        self.addresses(&mut link, &hello);
        let peer = Peer { claims: hello.peer_addr, ..link.peer };
        drop(link);
        let (peer, demanded) = self.protocol(peer)?;
        let without = self.features(peer, demanded)?;
        let link = self.session(peer, &without)?;
        match link {
            Some((link, features)) if features.has(Features::MSGR_KEEPALIVE2) => {
                self.keepalive2(link)?;
            }
            _ => self.round_trips(),
        }
        if peer.kind == EntityType::MON {
            self.auth(peer)?;
        }
        Ok(())
    }

    /// Looks a host name up.
    fn resolve(&mut self) -> Result<Vec<SocketAddr>, Stop> {
        let begun = Instant::now();
        let found = self.target.resolve();
        match (&self.target.place, found) {
            (Place::Addr(_), found) => found.map_err(|_| Stop),
            (Place::Host(..), Ok(addrs)) => {
                let ips: Vec<_> = addrs.iter().map(|a| a.ip().to_string()).collect();
                self.report.passed("resolve", begun.elapsed(), &ips.join(", "));
                Ok(addrs)
            }
            (Place::Host(..), Err(e)) => self.stop("resolve", begun, e),
        }
    }

    /// Connects to the first address where someone listens.
    fn tcp(&mut self, addrs: &[SocketAddr]) -> Result<Link, Stop> {
        let begun = Instant::now();
        let mut failed = Vec::new();
        for &to in addrs {
            let claims = EntityAddr::legacy(to, self.target.nonce.unwrap_or(0));
            let kind = self.kind.unwrap_or(EntityType::MON);
            let peer = Peer { to, claims, kind, timeout: self.timeout };
            match Link::dial(peer, Features::SUPPORTED, Show::Nothing) {
                Ok(link) => {
                    let local = link.local_addr().map(|a| a.to_string()).unwrap_or_default();
                    let took = link.connected_in;
                    self.report.passed("tcp", took, &format!("{local} -> {to}"));
                    let fact =
                        json!({ "local": local, "peer": to.to_string(), "connect_ms": ms(took) });
                    self.report.fact("tcp", fact);
                    return Ok(link);
                }
                Err(broken) => failed.push(format!("{to}: {}", self.why(&broken))),
            }
        }
        self.stop("tcp", begun, failed.join("; "))
    }

    /// The first bytes that the peer sends, and what must follow them; `None` where these are of
    /// messenger v2, and that is to be spoken then.
    fn banner(&mut self, link: &mut Link) -> Result<Option<Hello>, Stop> {
        let begun = Instant::now();
        let hello = link.hello();
        let v2 = hello.as_ref().is_err_and(|broken| broken.fault == Fault::PeerSpeaksV2);
        if v2 && self.msgr == Msgr::Auto {
            return Ok(None);
        }
        let first_at = link.wire.first_at.unwrap_or_else(Instant::now);
        let line = link.wire.first_bytes.split(|&b| b == b'\n').next().unwrap_or_default();
        let banner = match &hello {
            Ok(_) => "ceph v027".to_owned(),
            Err(_) => line.get(..40).unwrap_or(line).escape_ascii().to_string(),
        };
        if !banner.is_empty() {
            self.report.fact("banner", json!(banner));
        }
        let broken = match hello {
            Ok(hello) => {
                self.report.passed("banner", first_at - begun, &format!("\"{banner}\""));
                return Ok(Some(hello));
            }
            Err(broken) => broken,
        };
        let mut why = self.why(&broken);
        if !matches!(broken.fault, Fault::BadBanner | Fault::PeerSpeaksV2)
            && broken.awaiting != "banner"
        {
            self.report.passed("banner", first_at - begun, &format!("\"{banner}\""));
            return self.stop("addresses", first_at, why);
        }
        if !banner.is_empty() {
            why += &format!(" (it says \"{banner}\")");
        }
        let stop = self.stop("banner", begun, why);
        if broken.fault == Fault::PeerSpeaksV2 {
            let hint = "monitors listen for v1 on port 6789 and for v2 on 3300; the maps have the \
                        ports of other daemons";
            self.report.hint(hint);
        }
        stop
    }

    /// Who the peer says it is, and who we are to it.
    fn addresses(&mut self, link: &mut Link, hello: &Hello) {
        let took = link.wire.first_at.map(|at| at.elapsed()).unwrap_or_default();
        let (peer, ours) = (hello.peer_addr, hello.peer_addr_for_me);
        let fact = json!({ "peer": peer.to_string(), "ours": ours.to_string() });
        self.report.fact("addresses", fact);
        let text = format!("it says that it is {peer}, and sees us at {ours}");
        let want = link.peer.claims;
        match link.process(Incoming::Hello(*hello)) {
            // Nobody said which nonce it must have.
            Err(Fault::WrongPeer { .. })
                if self.target.nonce.is_none()
                    && EntityAddr { nonce: peer.nonce, ..want } == peer =>
            {
                self.report.passed("addresses", took, &text);
            }
            Err(fault) => {
                self.report.failed("addresses", took, &format!("{fault}; it sees us at {ours}"));
                match fault {
                    Fault::WrongPeer { want, got } if want.sockaddr == got.sockaddr => {
                        let hint = "a daemon has another nonce after each start: the one given \
                                    may be of an old map";
                        self.report.hint(hint);
                    }
                    Fault::WrongPeer { .. } => {
                        let hint = "clients refuse it: they must dial the address that the daemon \
                                    has itself, without a translation or proxy in between";
                        self.report.hint(hint);
                    }
                    _ => {}
                }
            }
            Ok(_) => self.report.passed("addresses", took, &text),
        }
        if let Ok(local) = link.local_addr()
            && ours.sockaddr != Some(local)
        {
            self.report.hint(&format!("our end is {local}: addresses are translated on the way"));
        }
    }

    /// The kind of the peer, by its protocol version, and the features that it demands, since
    /// none are offered.
    fn protocol(&mut self, peer: Peer) -> Result<(Peer, Features), Stop> {
        const STEP: &str = "protocol";
        let begun = Instant::now();
        let (_, n) = self.negotiate(STEP, peer, Features::NONE, Show::Nothing)?;
        let version = n.reply.protocol_version;
        self.report.fact("protocol_version", json!(version));
        let demanded = if n.verdict.is_ok() { Features::NONE } else { n.reply.features };
        let Some(kind) =
            KINDS.into_iter().find(|k| protocol_version(*k, EntityType::CLIENT) == version)
        else {
            return self.stop(
                STEP,
                begun,
                format!("version {version} is that of no daemon we know"),
            );
        };
        self.report.fact("type", json!(kind.name()));
        let took = begun.elapsed();
        let (offered, tags) = (protocol_version(peer.kind, EntityType::CLIENT), n.tags.join(", "));
        let text = format!("version {version} is that of {kind} ({tags} to version {offered})");
        match self.kind {
            Some(want) if want != kind => {
                self.report.failed(STEP, took, &format!("{text}, and not {want}"));
            }
            _ => self.report.passed(STEP, took, &text),
        }
        Ok((Peer { kind, ..peer }, demanded))
    }

    /// The features that the peer supports, since all are offered. Says how it answers a connect
    /// message without an authorizer.
    fn features(&mut self, peer: Peer, demanded: Features) -> Result<Negotiation, Stop> {
        const STEP: &str = "features";
        let begun = Instant::now();
        let (_, n) = self.negotiate(STEP, peer, ANY_FEATURES, Show::Nothing)?;
        let (ours, supported) = (Features::SUPPORTED, n.reply.features);
        let (lacking, unsupported) = (ours.missing_in(supported), demanded.missing_in(ours));
        let sets = [
            ("supported", supported),
            ("effective", ours & supported),
            ("demanded", demanded),
            ("lacking", lacking),
            ("unsupported", unsupported),
        ];
        let fact = sets.map(|(name, set)| (name.to_owned(), features(set)));
        self.report.fact(STEP, Value::Object(fact.into_iter().collect()));
        let [supports, both, demands, lacks, _] = sets.map(|(_, set)| set.0.count_ones());
        if unsupported.is_empty() {
            let text = format!(
                "it supports {supports} and demands {demands}; it lacks {lacks} of ours, so that \
                 {both} are in effect"
            );
            self.report.passed(STEP, begun.elapsed(), &text);
        } else {
            let why = Fault::FeaturesMissing(unsupported);
            self.report.failed(STEP, begun.elapsed(), &why.to_string());
        }
        for (name, set) in sets {
            self.report.features(name, set);
        }
        Ok(n)
    }

    /// Opens a session without a proof: a monitor wants none yet, and others may be content with
    /// a name.
    fn session(
        &mut self,
        peer: Peer,
        without: &Negotiation,
    ) -> Result<Option<(Link, Features)>, Stop> {
        const STEP: &str = "session";
        let begun = Instant::now();
        let is_mon = peer.kind == EntityType::MON;
        let show = if is_mon { Show::Nothing } else { Show::Name };
        let (link, n) = self.negotiate(STEP, peer, Features::SUPPORTED, show)?;
        let (lossy, tags) = (n.reply.is_lossy(), n.tags.join(", "));
        if !is_mon {
            let answer =
                |n: &Negotiation| json!({ "accepted": n.verdict.is_ok(), "answer": n.tags.last() });
            let fact = json!({ "no_authorizer": answer(without), "none": answer(&n) });
            self.report.fact("auth", fact);
        }
        let fact = json!({ "open": n.verdict.is_ok(), "lossy": n.verdict.is_ok().then_some(lossy),
                           "tags": n.tags });
        self.report.fact(STEP, fact);
        match n.verdict {
            Ok(features) => {
                let kind = if lossy { "lossy" } else { "lossless" };
                let how = if is_mon { "" } else { " for a name alone (none)" };
                let text = format!("open{how}, {kind} ({tags})");
                self.report.passed(STEP, begun.elapsed(), &text);
                Ok(Some((link, features)))
            }
            Err(Fault::BadAuthorizer) if !is_mon => {
                let text = format!("not without a ticket (cephx): {tags}");
                self.report.passed(STEP, begun.elapsed(), &text);
                Ok(None)
            }
            Err(fault) => self.stop(STEP, begun, fault),
        }
    }

    /// Round trips in an open session.
    fn keepalive2(&mut self, mut link: Link) -> Result<(), Stop> {
        const STEP: &str = "keepalive2";
        let begun = Instant::now();
        let times = (0..KEEPALIVES).map(|_| link.keepalive2()).collect::<Result<Vec<_>, _>>();
        match times {
            Ok(times) => {
                self.times(STEP, begun.elapsed(), times);
                Ok(())
            }
            Err(broken) => {
                let why = self.why(&broken);
                self.stop(STEP, begun, why)
            }
        }
    }

    /// Round trips where there is no session: those of the connect messages so far.
    fn round_trips(&mut self) {
        let times = std::mem::take(&mut self.round_trips);
        self.times("connect", times.iter().sum(), times);
    }

    pub(crate) fn times(&mut self, step: &'static str, took: Duration, mut times: Vec<Duration>) {
        times.sort_unstable();
        let [min, .., max] = times[..] else { return };
        let median = times[times.len() / 2];
        let n = times.len();
        let text = format!(
            "{n} round trips: min {:.3}, median {:.3}, max {:.3} ms",
            ms(min),
            ms(median),
            ms(max)
        );
        self.report.passed(step, took, &text);
        let fact = json!({ "of": step, "count": n, "min_ms": ms(min), "median_ms": ms(median),
                           "max_ms": ms(max) });
        self.report.fact("round_trips", fact);
    }

    /// Which protocols of authentication a monitor takes, each offered alone. A monitor hears one
    /// login on a connection, so each has its own.
    fn auth(&mut self, peer: Peer) -> Result<(), Stop> {
        let methods =
            [("auth none", "none", CEPH_AUTH_NONE), ("auth cephx", "cephx", CEPH_AUTH_CEPHX)];
        let mut facts = serde_json::Map::new();
        for (step, name, method) in methods {
            let (mut link, n) = self.negotiate(step, peer, Features::SUPPORTED, Show::Nothing)?;
            let begun = Instant::now();
            let hello = hello(method).to_message(n.verdict.unwrap_or_default());
            let reply = match link.ask(hello, types::CEPH_MSG_AUTH_REPLY) {
                Ok(msg) => MAuthReply::from_message(&msg).map_err(|e| Fault::from(e).to_string()),
                Err(broken) => Err(self.why(&broken)),
            };
            let reply = match reply {
                Ok(reply) => reply,
                Err(why) => {
                    let stop = self.stop(step, begun, format!("no answer to MAuth: {why}"));
                    self.report.hint("a monitor that is not in the quorum lets logins wait");
                    return stop;
                }
            };
            let accepted = reply.result == 0 && reply.protocol == method;
            let answer = match (accepted, method) {
                (true, CEPH_AUTH_NONE) => "accepted: a name is enough".to_owned(),
                (true, _) => format!("accepted: a challenge of {} bytes", reply.result_bl.len()),
                (false, _) if reply.result < 0 => {
                    format!("refused: {}", io::Error::from_raw_os_error(-reply.result))
                }
                (false, _) => format!("refused: it goes on with protocol {}", reply.protocol),
            };
            self.report.passed(step, begun.elapsed(), &answer);
            facts.insert(name.to_owned(), json!({ "accepted": accepted, "answer": answer }));
        }
        self.report.fact("auth", Value::Object(facts));
        Ok(())
    }

    /// A handshake on a connection of its own.
    fn negotiate(
        &mut self,
        step: &'static str,
        peer: Peer,
        offer: Features,
        show: Show,
    ) -> Result<(Link, Negotiation), Stop> {
        let begun = Instant::now();
        let done = Link::dial(peer, offer, show).and_then(|mut link| {
            let n = link.negotiate()?;
            Ok((link, n))
        });
        match done {
            Ok((link, n)) => {
                self.round_trips.extend(&n.round_trips);
                Ok((link, n))
            }
            Err(broken) => {
                let why = self.why(&broken);
                self.stop(step, begun, why)
            }
        }
    }

    pub(crate) fn why(&self, broken: &Broken) -> String {
        match broken.fault {
            Fault::TimedOut(_) => format!("{broken} ({:?})", self.timeout),
            _ => broken.to_string(),
        }
    }

    pub(crate) fn stop<T>(
        &mut self,
        step: &'static str,
        begun: Instant,
        why: impl ToString,
    ) -> Result<T, Stop> {
        self.report.failed(step, begun.elapsed(), &why.to_string());
        Err(Stop)
    }
}

/// The first message of a login that offers this protocol alone.
fn hello(method: u32) -> MAuth {
    let mut w = Writer::new(Features::ALL);
    w.u8(1).u32(1).u32(method).put(&our_name()).u64(0);
    MAuth { protocol: CEPH_AUTH_UNKNOWN, auth_payload: w.into_vec(), ..MAuth::default() }
}
