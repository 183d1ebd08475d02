//! A lossless session of messenger v1 with a real MDS whose socket is cut before, during and after the exchange of
//! SEQ: nothing is lost, nothing doubled, and threads that send meanwhile do not disturb it.
//!
//! The MDS answers each renewal of a session with the number that is in it, so the answers tell what
//! arrived. A message that came twice, or with a gap before it, would also show in the log of the
//! MDS. Nothing here may send a command to it: that makes 16.2.15 give the connection up.

#[path = "mds_lossless/client.rs"]
mod client;
mod common;
#[path = "mds_lossless/proxy.rs"]
mod proxy;

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use ceph_msgr::msgr::{ConState, Options};
use ceph_msgr::net::Deadline;
use ceph_msgr::types::EntityAddr;

use client::{Answers, Client, Mds, PATIENCE, SOON};
use common::vstart::Vstart;
use proxy::{Place, Proxy};

#[test]
fn each_renewal_is_answered_once_and_in_order_wherever_it_is_cut() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    for seed in 1..=3 {
        let client = Proxied::login(&cluster, &mds, [], Some(SOON));
        client.open();
        let plan = plan(seed);
        let (renewals, cuts) = client.renew_while_cut(&plan);
        println!("seed {seed}: {renewals} renewals, {:?}, {cuts:?}", client.con.counters());
        assert_eq!(cuts, count(&plan), "seed {seed}");
        assert_eq!(client.con.counters().faults, plan.len() as u64 + 1, "seed {seed}");
        client.check();
    }
    mds.check(&cluster);
}

/// The first connection of all is cut: the MDS may know a session that we have not heard of. It
/// then takes us for a client that was restarted, ends that session, and sometimes the new one too,
/// after it has acknowledged our first message. That is a remote reset, and opening is up to us.
#[test]
fn a_session_that_is_cut_before_it_has_begun_begins_all_the_same() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    for place in Place::HANDSHAKE.into_iter().chain([Place::AfterOurSeq]) {
        let client = Proxied::login(&cluster, &mds, [place], Some(SOON));
        let unheard = Place::AfterAnsweredConnect..=Place::InTheirSeq;
        if client.open_unless_reset() {
            assert!(unheard.contains(&place), "{place:?}");
            client.open();
        }
        client.renew(1);
        assert_eq!(client.proxy.await_cuts(PATIENCE), Ok(count(&[place])));
        client.check();
    }
    mds.check(&cluster);
}

/// A server does not dial: what it owes is ours to fetch, although we have nothing to send.
#[test]
fn an_answer_comes_although_the_request_was_acknowledged_before_the_cut() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    let client = Proxied::login(&cluster, &mds, [], Some(SOON));
    client.open();
    let plan = [Place::AfterTheirAck; 20];
    client.proxy.cut(plan);
    // A renewal that is through before the cut may be known by SEQ, and then gets no ack.
    let mut n = 0;
    while client.proxy.cuts_left() > 0 {
        n += 1;
        client.renew(n);
    }
    client.renew(n + 1);
    assert_eq!(client.proxy.await_cuts(PATIENCE), Ok(count(&plan)));
    client.check();
    mds.check(&cluster);
}

#[test]
fn a_session_in_standby_goes_on_when_there_is_something_to_send() {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    let client = Proxied::login(&cluster, &mds, [], None);
    client.open();
    for n in 1..=5 {
        client.renew(n);
        client.con.acked(Deadline::after(PATIENCE)).expect("an ack");
        client.proxy.cut_now();
        client.await_state(ConState::Standby);
        assert_eq!(client.con.counters().opened, n);
    }
    client.renew(6);
    client.check();
    mds.check(&cluster);
}

// --- The client -----------------------------------------------------------------------------------

/// A client with a proxy between it and the MDS.
struct Proxied {
    client: Client,
    proxy: Proxy,
}

impl Proxied {
    /// The first connections are cut at `cuts`.
    fn login<const N: usize>(
        cluster: &Vstart,
        mds: &Mds,
        cuts: [Place; N],
        keepalive: Option<Duration>,
    ) -> Self {
        let answers = Arc::new(Answers::default());
        let at = mds.v1.sockaddr.expect("an address");
        let proxy = Proxy::start(at, {
            let answers = answers.clone();
            // All senders send while the handshake is at this step.
            Box::new(move || answers.hurry())
        });
        proxy.cut(cuts);
        let addr = EntityAddr::legacy(proxy.addr(), mds.v1.nonce);
        let client = Client::login(cluster, addr, answers, Options::default(), keepalive);
        Self { client, proxy }
    }

    /// Renews while the connections are cut as planned. Gives back how many renewals there were, and
    /// the cuts.
    fn renew_while_cut(&self, plan: &[Place]) -> (usize, BTreeMap<Place, u32>) {
        self.client.renew_while(|| {
            self.proxy.cut(plan.iter().copied());
            self.proxy.await_cuts(PATIENCE)
        })
    }
}

impl Deref for Proxied {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

// --- The plan -------------------------------------------------------------------------------------

/// Every place several times, in an order and with offsets that the seed decides. A cut before
/// anything was heard delays the next attempt, twice as long each time, so most are followed by one
/// after something was.
fn plan(seed: u64) -> Vec<Place> {
    let mut random = Random(seed);
    let mut unheard = [Place::HANDSHAKE, Place::HANDSHAKE].concat();
    unheard.extend([Place::UNHEARD; 3].concat());
    for _ in 0..4 {
        // The handshake and the first messages.
        unheard.push(Place::AtOurByte(random.below(2500)));
        unheard.push(Place::AtTheirByte(random.below(2500)));
    }
    let mut heard: Vec<_> = Place::HEARD.iter().copied().cycle().take(unheard.len()).collect();
    random.shuffle(&mut unheard);
    random.shuffle(&mut heard);
    let pairs = unheard.into_iter().zip(heard).flat_map(|(unheard, heard)| [unheard, heard]);
    // The MDS has opened the session three times before we hear of it.
    let begin = [Place::BeforeSeqReply, Place::AfterSeqReplyHeader, Place::InTheirSeq];
    begin.into_iter().chain(pairs).collect()
}

/// How many of each kind.
fn count(places: &[Place]) -> BTreeMap<Place, u32> {
    let mut counts = BTreeMap::new();
    places.iter().for_each(|place| *counts.entry(place.kind()).or_default() += 1);
    counts
}

/// xorshift64*; the seed is not 0.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % n
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i as u64 + 1) as usize);
        }
    }
}
