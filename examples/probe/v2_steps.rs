//! The steps with a peer that speaks messenger v2.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ceph_msgr::auth::{AuthNoneAuthorizer, Authorizer, CEPH_AUTH_CEPHX, CEPH_AUTH_NONE, ConMode};
use ceph_msgr::denc::Writer;
use ceph_msgr::msgr::Fault;
use ceph_msgr::msgr::v2::control::{
    AuthBadMethod, AuthDoneFrame, AuthOffer, AuthReplyMoreFrame, CLIENT_IDENT_LOSSY,
    ClientIdentFrame, ControlFrame, HelloFrame, IdentMissingFeaturesFrame, KeepAliveFrame,
    ServerIdentFrame,
};
use ceph_msgr::msgr::v2::{MSGR2_FEATURE_REVISION_1, Revision, Tag};
use ceph_msgr::types::{
    AddrType, EntityAddr, EntityAddrVec, EntityType, Features, GlobalId, UTime,
};
use serde_json::{Value, json};

use crate::link::{Broken, Peer, Wire, nonce, our_name};
use crate::report::features;
use crate::steps::{KEEPALIVES, Probe, Stop};
use crate::v2_link::Link2;

/// A method that there is not, and will not be.
const NO_METHOD: u32 = 0x7fff_ffff;
/// `CEPH_MSGR2_FEATURE_COMPRESSION`, of Quincy and later.
const COMPRESSION: u64 = 2;
/// `AUTH_MODE_MON`, with which a login at a monitor begins.
const AUTH_MODE_MON: u8 = 10;

/// What AUTH_REQUEST was answered with.
enum Answer {
    Done(AuthDoneFrame),
    More(AuthReplyMoreFrame),
    Bad(AuthBadMethod),
}

impl Probe {
    /// The steps behind the TCP connection, each of which has one of its own.
    pub(crate) fn v2_steps(&mut self, to: SocketAddr) -> Result<(), Stop> {
        self.report.fact("msgr", json!("v2"));
        let claims = EntityAddr::msgr2(to, self.target.nonce.unwrap_or(0));
        let kind = self.kind.unwrap_or(EntityType::MON);
        let peer = Peer { to, claims, kind, timeout: self.timeout };
        let mut link = self.v2_banner(&peer)?;
        let (peer, ours) = self.v2_hello(&mut link, peer)?;
        self.v2_methods(&mut link)?;
        let session = self.v2_auth(&peer)?;
        match session {
            Some(link) => self.v2_session(link, &peer, ours),
            None => {
                let times = std::mem::take(&mut self.round_trips);
                self.times("auth", times.iter().sum(), times);
                Ok(())
            }
        }
    }

    /// What the peer says first: which revisions of frames it knows, and whether it compresses.
    fn v2_banner(&mut self, peer: &Peer) -> Result<Link2, Stop> {
        let begun = Instant::now();
        let opened = Wire::dial(peer).map(|(wire, _)| Link2::open(wire, peer.timeout));
        let link = match opened {
            Ok(Ok(link)) => link,
            Ok(Err(failed)) => {
                let (wire, broken) = *failed;
                let line = wire.first_bytes.split(|&b| b == b'\n').next().unwrap_or_default();
                let banner = line.get(..40).unwrap_or(line).escape_ascii().to_string();
                let mut why = self.why(&broken);
                if !banner.is_empty() {
                    self.report.fact("banner", json!(banner));
                    why += &format!(" (it says \"{banner}\")");
                }
                let stop = self.stop("banner", begun, why);
                if broken.fault == Fault::PeerSpeaksV1 {
                    self.report.hint("monitors listen for v2 on port 3300 and for v1 on 6789");
                }
                return stop;
            }
            Err(broken) => {
                let why = self.why(&broken);
                return self.stop("banner", begun, why);
            }
        };
        let (supported, required) = (link.banner.supported, link.banner.required);
        let revisions =
            match (supported & MSGR2_FEATURE_REVISION_1, required & MSGR2_FEATURE_REVISION_1) {
                (0, _) => vec!["2.0"],
                (_, 0) => vec!["2.0", "2.1"],
                _ => vec!["2.1"],
            };
        let revision = if link.revision == Revision::V2_1 { "2.1" } else { "2.0" };
        let compression = supported & COMPRESSION != 0;
        self.report.fact("banner", json!("ceph v2"));
        let fact = json!({ "supported": format!("{supported:#x}"),
                           "required": format!("{required:#x}"), "revisions": revisions,
                           "revision": revision, "compression": compression });
        self.report.fact("msgr2", fact);
        let text = format!(
            "\"ceph v2\", supports {supported:#x}, requires {required:#x}: revision {}, {}",
            revisions.join(" or "),
            if compression { "compression" } else { "no compression" }
        );
        self.report.passed("banner", begun.elapsed(), &text);
        Ok(link)
    }

    /// What the peer is, and where it sees us.
    fn v2_hello(&mut self, link: &mut Link2, peer: Peer) -> Result<(Peer, EntityAddr), Stop> {
        const STEP: &str = "hello";
        let begun = Instant::now();
        let hello = match hello(link, &peer) {
            Ok(hello) => hello,
            Err(broken) => {
                let why = self.why(&broken);
                return self.stop(STEP, begun, why);
            }
        };
        let (kind, ours) = (hello.entity_type, hello.peer_addr);
        self.report.fact("type", json!(kind.name()));
        self.report.fact("addresses", json!({ "peer": null, "ours": ours.to_string() }));
        let text = format!("it is of type {kind}, and sees us at {ours}");
        match self.kind {
            Some(want) if want != kind => {
                self.report.failed(
                    STEP,
                    begun.elapsed(),
                    &format!("{text}; it is not of type {want}"),
                );
            }
            _ => self.report.passed(STEP, begun.elapsed(), &text),
        }
        if let Ok(local) = link.local_addr()
            && ours.sockaddr != Some(local)
        {
            self.report.hint(&format!("our end is {local}: addresses are translated on the way"));
        }
        Ok((Peer { kind, ..peer }, ours))
    }

    /// All that the peer allows, which it lists to whoever offers what there is not.
    fn v2_methods(&mut self, link: &mut Link2) -> Result<(), Stop> {
        const STEP: &str = "methods";
        let begun = Instant::now();
        let offer = AuthOffer { method: NO_METHOD, modes: self.offered(), payload: Vec::new() };
        let bad = match self.ask(link, &offer) {
            Ok(Answer::Bad(bad)) => bad,
            Ok(_) => return self.stop(STEP, begun, "it takes a method that there is not"),
            Err(broken) => {
                let why = self.why(&broken);
                return self.stop(STEP, begun, why);
            }
        };
        let methods: Vec<_> = bad.allowed_methods.iter().map(|n| method(*n)).collect();
        let modes: Vec<_> = bad.allowed_modes.iter().map(|n| mode(*n)).collect();
        let text = format!("{}; modes {}", methods.join(", "), modes.join(", "));
        self.report.passed(STEP, begun.elapsed(), &text);
        self.report.fact("auth", json!({ "methods": methods, "modes": modes }));
        Ok(())
    }

    /// How it answers each method that can be tried without a key, each on a connection of its own.
    /// The connection on which a name was enough.
    fn v2_auth(&mut self, peer: &Peer) -> Result<Option<Link2>, Stop> {
        let mut session = None;
        let mut tries = vec![("auth none", "none", CEPH_AUTH_NONE)];
        if peer.kind == EntityType::MON {
            tries.push(("auth cephx", "cephx", CEPH_AUTH_CEPHX));
        }
        for (step, name, method) in tries {
            let begun = Instant::now();
            let offer = AuthOffer { method, modes: self.offered(), payload: name_of(peer, method) };
            let asked = Wire::dial(peer).and_then(|(wire, _)| {
                let mut link = Link2::open(wire, peer.timeout).map_err(|failed| failed.1)?;
                hello(&mut link, peer)?;
                let answer = self.ask(&mut link, &offer)?;
                Ok((link, answer))
            });
            let (link, answer) = match asked {
                Ok(asked) => asked,
                Err(broken) => {
                    let why = self.why(&broken);
                    return self.stop(step, begun, why);
                }
            };
            let (accepted, text) = match answer {
                Answer::Done(done) => {
                    session = (done.con_mode == ConMode::Crc.number()).then_some(link);
                    (true, format!("accepted: a name is enough, in {} mode", mode(done.con_mode)))
                }
                Answer::More(more) => {
                    (true, format!("accepted: a challenge of {} bytes", more.payload.len()))
                }
                Answer::Bad(bad) => {
                    let why = io::Error::from_raw_os_error(bad.result.saturating_neg());
                    (false, format!("refused: {why}"))
                }
            };
            self.report.passed(step, begun.elapsed(), &text);
            self.report.add("auth", name, json!({ "accepted": accepted, "answer": text }));
        }
        Ok(session)
    }

    /// Opens a session for a name alone, which shows addresses and features.
    fn v2_session(&mut self, mut link: Link2, peer: &Peer, ours: EntityAddr) -> Result<(), Stop> {
        const STEP: &str = "session";
        let begun = Instant::now();
        if self.target.nonce.is_none() && peer.kind != EntityType::MON {
            let text = "not tried: who asks for one names the nonce, which the maps have";
            self.report.passed(STEP, begun.elapsed(), text);
            self.report.hint(&format!("say v2:{}/NONCE", peer.to));
            return Ok(());
        }
        let ident = match ident(&mut link, peer, ours) {
            Ok(ident) => ident,
            Err(broken) => {
                let why = self.why(&broken);
                let stop = self.stop(STEP, begun, why);
                if broken.fault == Fault::PeerClosed {
                    self.report.hint("it may have another address or another nonce");
                }
                return stop;
            }
        };
        let lossy = ident.flags & CLIENT_IDENT_LOSSY != 0;
        let kind = if lossy { "lossy" } else { "lossless" };
        let addrs = EntityAddrVec::to_string(&ident.addrs);
        let text = format!("open for a name alone (none), {kind}; it says that it is {addrs}");
        self.report.passed(STEP, begun.elapsed(), &text);
        self.report.fact(STEP, json!({ "open": true, "lossy": lossy, "gid": ident.gid }));
        let fact = json!({ "peer": addrs, "ours": ours.to_string() });
        self.report.fact("addresses", fact);
        self.v2_features(&ident);
        self.v2_keepalive2(&mut link)
    }

    fn v2_features(&mut self, ident: &ServerIdentFrame) {
        let (ours, supported) = (Features::SUPPORTED, ident.supported_features);
        let demanded = ident.required_features;
        let (lacking, unsupported) = (ours.missing_in(supported), demanded.missing_in(ours));
        let sets = [
            ("supported", supported),
            ("effective", ours & supported),
            ("demanded", demanded),
            ("lacking", lacking),
            ("unsupported", unsupported),
        ];
        let fact = sets.map(|(name, set)| (name.to_owned(), features(set)));
        self.report.fact("features", Value::Object(fact.into_iter().collect()));
        let [supports, both, demands, lacks, _] = sets.map(|(_, set)| set.0.count_ones());
        let text = format!(
            "it supports {supports} and demands {demands}; it lacks {lacks} of ours, so that \
             {both} are in effect"
        );
        self.report.passed("features", Duration::ZERO, &text);
        for (name, set) in sets {
            self.report.features(name, set);
        }
    }

    /// Round trips in an open session.
    fn v2_keepalive2(&mut self, link: &mut Link2) -> Result<(), Stop> {
        const STEP: &str = "keepalive2";
        let begun = Instant::now();
        let times = (0..KEEPALIVES).map(|n| {
            link.send(&KeepAliveFrame(UTime { sec: n as u32, nsec: 0 }))?;
            loop {
                let (tag, _, took) = link.receive("keepalive2_ack")?;
                if tag == Tag::Keepalive2Ack {
                    return Ok(took);
                }
            }
        });
        match times.collect::<Result<Vec<_>, Broken>>() {
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

    /// Offers a method, and hears what becomes of it.
    fn ask(&mut self, link: &mut Link2, offer: &AuthOffer) -> Result<Answer, Broken> {
        const AWAITING: &str = "answer to AUTH_REQUEST";
        link.send(offer)?;
        let (tag, payload, took) = link.receive(AWAITING)?;
        self.round_trips.push(took);
        let answer = match tag {
            Tag::AuthDone => AuthDoneFrame::from_payload(&payload).map(Answer::Done),
            Tag::AuthReplyMore => AuthReplyMoreFrame::from_payload(&payload).map(Answer::More),
            Tag::AuthBadMethod => AuthBadMethod::from_payload(&payload).map(Answer::Bad),
            other => return Err(Broken { fault: Fault::UnexpectedTag(other), awaiting: AWAITING }),
        };
        answer.map_err(|e| Broken { fault: e.into(), awaiting: AWAITING })
    }

    fn offered(&self) -> Vec<u32> {
        self.modes.iter().map(|mode| mode.number()).collect()
    }
}

/// Exchanges HELLO.
fn hello(link: &mut Link2, peer: &Peer) -> Result<HelloFrame, Broken> {
    const AWAITING: &str = "HELLO";
    link.send(&HelloFrame { entity_type: EntityType::CLIENT, peer_addr: peer.claims })?;
    let (tag, payload, _) = link.receive(AWAITING)?;
    let hello = match tag {
        Tag::Hello => HelloFrame::from_payload(&payload).map_err(Fault::from),
        other => Err(Fault::UnexpectedTag(other)),
    };
    hello.map_err(|fault| Broken { fault, awaiting: AWAITING })
}

/// The rest of a handshake in which a name was enough.
fn ident(link: &mut Link2, peer: &Peer, ours: EntityAddr) -> Result<ServerIdentFrame, Broken> {
    const AWAITING: &str = "answer to CLIENT_IDENT";
    link.sign()?;
    let mut sockaddr = ours.sockaddr;
    // A client listens nowhere.
    sockaddr.iter_mut().for_each(|addr| addr.set_port(0));
    let addr = EntityAddr { addr_type: AddrType::ANY, nonce: nonce().max(1), sockaddr };
    link.send(&ClientIdentFrame {
        addrs: addr.into(),
        target_addr: peer.claims,
        gid: -1,
        global_seq: 1,
        supported_features: Features::SUPPORTED,
        required_features: Features::NONE.with(Features::MSG_ADDR2),
        flags: CLIENT_IDENT_LOSSY,
        cookie: 0,
    })?;
    let (tag, payload, _) = link.receive(AWAITING)?;
    let ident = match tag {
        Tag::ServerIdent => ServerIdentFrame::from_payload(&payload).map_err(Fault::from),
        Tag::IdentMissingFeatures => match IdentMissingFeaturesFrame::from_payload(&payload) {
            Ok(missing) => Err(Fault::FeaturesMissing(Features(missing.0))),
            Err(e) => Err(e.into()),
        },
        other => Err(Fault::UnexpectedTag(other)),
    };
    let ident = ident.map_err(|fault| Broken { fault, awaiting: AWAITING })?;
    link.set_ready();
    Ok(ident)
}

/// Who we say that we are, in the words of each kind of peer.
fn name_of(peer: &Peer, method: u32) -> Vec<u8> {
    if peer.kind == EntityType::MON {
        let mut w = Writer::new(Features::ALL);
        w.u8(AUTH_MODE_MON).put(&our_name()).u64(0);
        return w.into_vec();
    }
    debug_assert_eq!(method, CEPH_AUTH_NONE);
    let authorizer = AuthNoneAuthorizer { name: our_name(), global_id: GlobalId(0) };
    Authorizer::from(&authorizer).bytes().to_vec()
}

fn method(n: u32) -> String {
    match n {
        CEPH_AUTH_NONE => "none".to_owned(),
        CEPH_AUTH_CEPHX => "cephx".to_owned(),
        4 => "gss".to_owned(),
        n => format!("method {n}"),
    }
}

fn mode(n: u32) -> String {
    ConMode::from_number(n).map_or_else(|| format!("mode {n}"), |mode| mode.name().to_owned())
}
