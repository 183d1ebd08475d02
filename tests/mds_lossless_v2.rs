//! The same for messenger v2, with checksums and sealed: a lossless session with a real MDS whose socket
//! is cut at each step of the handshake and between messages, and goes on by SESSION_RECONNECT.
//!
//! Nobody can stand between and find the steps in what is sealed, or have each side believe that it
//! reached the other where it is. So it is our own log that says when to cut; and the MDS cuts as well,
//! anywhere (`ms_inject_socket_failures`).

#[path = "mds_lossless/client.rs"]
mod client;
mod common;
#[path = "mds_lossless/cutter.rs"]
mod cutter;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ceph_msgr::auth::ConMode;
use ceph_msgr::msgr::{ConState, Options};
use ceph_msgr::net::Deadline;

use client::{Answers, Client, Mds, PATIENCE, SOON};
use common::vstart::Vstart;
use cutter::Cutter;

/// What is logged at the steps after which the socket is cut, if our side has not gone on by then.
const STEPS: [&str; 10] = [
    "-> V2_HELLO",
    "-> V2_AUTH",
    "< AUTH_REPLY_MORE",
    "< AUTH_DONE",
    "< AUTH_SIGNATURE",
    RECONNECT,
    RECONNECT_OK,
    "-> OPEN",
    "> ack",
    HEARD,
];
/// A message has come. Acknowledgements come with them, where there are many.
const HEARD: &str = "< client_session";
/// SESSION_RECONNECT is about to go out.
const RECONNECT: &str = "> ReconnectFrame";
/// Its answer is there.
const RECONNECT_OK: &str = "< SESSION_RECONNECT_OK";
/// How often each step is.
const ROUNDS: usize = 3;
/// On how many of the MDS's reads and writes there is one at which it cuts.
const INJECT: &str = "40";

fn login(cluster: &Vstart, mds: &Mds, mode: ConMode, keepalive: Option<Duration>) -> Client {
    let options = Options { modes: ConMode::list(&[mode]), ..Options::default() };
    let client = Client::login(cluster, mds.v2, Arc::new(Answers::default()), options, keepalive);
    client.open();
    assert_eq!(client.con.con_mode(), Some(mode));
    client
}

/// Runs a test in either mode.
fn in_each_mode(test: impl Fn(&Vstart, &Mds, ConMode)) {
    let Some(cluster) = Vstart::builder().mds().start() else { return };
    let mds = Mds::of(&cluster);
    for mode in [ConMode::Crc, ConMode::Secure] {
        test(&cluster, &mds, mode);
        mds.check(&cluster);
    }
}

#[test]
fn each_renewal_is_answered_once_and_in_order_wherever_it_is_cut() {
    in_each_mode(|cluster, mds, mode| {
        let client = login(cluster, mds, mode, Some(SOON));
        // A step at which most attempts fail is followed by one that resets the backoff.
        let plan: Vec<_> = (0..ROUNDS).flat_map(|_| STEPS).flat_map(|step| [step, HEARD]).collect();
        let answers = client.answers.clone();
        let cutter = Cutter::new(&client.con, &plan, move || answers.hurry());
        let (renewals, ()) = client.renew_while(|| cutter.run(PATIENCE));
        let counters = client.con.counters();
        let (asked, resumed) = (cutter.count(RECONNECT), cutter.count(RECONNECT_OK));
        println!("{mode}: {renewals} renewals, {asked} asked, {resumed} resumed, {counters:?}");
        assert_eq!(counters.faults, plan.len() as u64 + 1, "{mode}");
        // Each time that it is open again it was resumed, and not begun anew.
        assert!(resumed >= 10 && asked >= resumed, "{mode}: {asked}, {resumed}");
        assert_eq!(cutter.count("> ClientIdentFrame"), 0, "{mode}");
        client.check();
    });
}

#[test]
fn a_session_outlives_the_sockets_that_the_mds_cuts() {
    in_each_mode(|cluster, mds, mode| {
        let client = login(cluster, mds, mode, Some(SOON));
        let inject = |n| {
            let set = cluster.ceph(&["config", "set", "mds", "ms_inject_socket_failures", n]);
            assert!(set.status.success(), "{set:?}");
        };
        let (renewals, ()) = client.renew_while(|| {
            inject(INJECT);
            let deadline = Deadline::after(PATIENCE);
            // Ten times resumed, of which some do not get far.
            while client.con.counters().opened < 11 {
                if deadline.has_passed() {
                    return Err(format!("{}: {:?}", client.con.describe(), client.con.counters()));
                }
                thread::sleep(Duration::from_millis(5));
            }
            inject("0");
            Ok(())
        });
        println!("{mode}: {renewals} renewals, {:?}", client.con.counters());
        client.check();
    });
}

#[test]
fn a_session_in_standby_goes_on_when_there_is_something_to_send() {
    in_each_mode(|cluster, mds, mode| {
        let client = login(cluster, mds, mode, None);
        for n in 1..=5 {
            client.renew(n);
            client.con.acked(Deadline::after(PATIENCE)).expect("an ack");
            client.con.inject_socket_failure();
            client.await_state(ConState::Standby);
            assert_eq!(client.con.counters().opened, n);
        }
        client.renew(6);
        client.check();
    });
}
