//! Bugs that were made on purpose, to see that the simulation finds them: `mutant!(Name)` is true
//! where that one is switched on, and plain `false` outside of tests.

use std::cell::Cell;

/// What is wrong while it is switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// After a fault what is unacknowledged stays where it is.
    RequeueSkipped,
    /// An ack names a message that has not come.
    AckTooEarly,
    /// SEQ names one message more than there was.
    SeqOffByOne,
    /// Of two attempts that cross the other one is kept.
    RaceTheOtherWay,
    /// A message gives back twice what it holds of a throttle.
    ThrottleReleasedTwice,
    /// Whoever waits for a throttle is not called.
    ThrottleWakesNobody,
    /// After a fault the room for what was half read stays taken.
    ThrottleKeptAtFault,
    /// A session that takes over a socket forgets what it has received.
    InSeqLostAtReplace,
    /// What the peer had already is sent again.
    SeqTrimsNothing,
    /// A session that takes over a socket keeps its connect_seq.
    ConnectSeqKept,
    /// A message that is on the wire is forgotten at once.
    OutSentNotKept,
    /// An old attempt that comes late is as good as a new one.
    StaleGlobalSeqTaken,
    /// A message that is on the wire is not taken back.
    RevokeForgetsOutSent,
    /// A peer that began anew is taken for one that goes on.
    HardResetIgnored,
    /// A session in standby is not woken by what is sent.
    StandbySleepsOn,
    /// A session whose socket is about to be taken over is offered to another one.
    ReservationIgnored,
    /// A session takes over a socket with half a message of the last one in the out buffer.
    OutKvecKeptAtReplace,
    /// A dialler with another cookie is taken for the one that was there.
    ClientCookieIgnored,
    /// Told that there is no such session, a dialler asks for it again.
    ServerCookieKeptAtReset,
    /// A session is asked for again under the connect_seq that it has.
    ConnectSeqNotBumped,
    /// A session is gone on with of which this side has never heard that it is open.
    UnheardSessionTaken,
    /// What waits for a session that has to begin anew is dropped, although it was not lost.
    ResetAlwaysFull,
    /// A session that begins anew counts on where the last one ended.
    InSeqKeptAnew,
    /// A message that has been sealed is taken back.
    SealedRevoked,
    /// The ack that was in a message is forgotten when that is taken back.
    AckLostAtRevoke,
}

impl Mutant {
    /// Where both protocols can go wrong.
    const BOTH: [Self; 17] = [
        Self::RequeueSkipped,
        Self::AckTooEarly,
        Self::SeqOffByOne,
        Self::RaceTheOtherWay,
        Self::ThrottleReleasedTwice,
        Self::ThrottleWakesNobody,
        Self::ThrottleKeptAtFault,
        Self::InSeqLostAtReplace,
        Self::SeqTrimsNothing,
        Self::ConnectSeqKept,
        Self::OutSentNotKept,
        Self::StaleGlobalSeqTaken,
        Self::RevokeForgetsOutSent,
        Self::HardResetIgnored,
        Self::StandbySleepsOn,
        Self::ReservationIgnored,
        Self::OutKvecKeptAtReplace,
    ];

    /// Where messenger v1 can go wrong.
    pub(super) fn of_v1() -> Vec<Self> {
        Self::BOTH.to_vec()
    }

    /// Where messenger v2 can go wrong.
    pub(super) fn of_v2() -> Vec<Self> {
        let v2 = [
            Self::ClientCookieIgnored,
            Self::ServerCookieKeptAtReset,
            Self::ConnectSeqNotBumped,
            Self::UnheardSessionTaken,
            Self::ResetAlwaysFull,
            Self::InSeqKeptAnew,
            Self::SealedRevoked,
            Self::AckLostAtRevoke,
        ];
        [&Self::BOTH[..], &v2].concat()
    }
}

thread_local! {
    static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
}

/// Switches one on for this thread, or all of them off.
pub(crate) fn switch(mutant: Option<Mutant>) {
    ACTIVE.set(mutant);
}

/// Whether it is switched on.
pub(crate) fn active(mutant: Mutant) -> bool {
    ACTIVE.get() == Some(mutant)
}
