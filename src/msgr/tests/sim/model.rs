//! What must be true of messages, whatever happens: who was sent what, and who got it.

/// A rule that was broken.
#[derive(Clone, Debug)]
pub(super) struct Violation {
    /// Its name.
    pub(super) rule: &'static str,
    pub(super) text: String,
}

/// A message.
#[derive(Debug)]
struct Sent {
    con: usize,
    /// Which session of that connection.
    epoch: u32,
    /// Whither.
    node: usize,
    /// Its place in the session.
    index: usize,
    /// It may be missing, for it was taken back.
    revoked: bool,
    /// It must not come (any more): it was taken back before it had wholly left.
    barred: bool,
    /// How often it was delivered.
    delivered: u32,
}

/// What one connection sends and gets.
#[derive(Debug, Default)]
struct Side {
    epoch: u32,
    /// The messages of this session.
    list: Vec<usize>,
    /// All before this one have come, or were revoked.
    done: usize,
    /// The last one that came in.
    last_in: Option<usize>,
    lossless: bool,
    /// Messages before this one may come to the next session of the peer too.
    repeats: usize,
    /// How often the peer had lost its session when this one last took note of that.
    peer_losses: u32,
}

/// The ledger.
#[derive(Debug, Default)]
pub(super) struct Model {
    sent: Vec<Sent>,
    sides: Vec<Side>,
    /// How often a node has lost its session with another: by node and other.
    losses: [[u32; 3]; 3],
    /// Whether a new session of a peer may get what the last one had.
    may_repeat: bool,
    pub(super) violation: Option<Violation>,
}

impl Model {
    pub(super) fn new(may_repeat: bool) -> Self {
        Self { may_repeat, ..Self::default() }
    }

    /// Reports a broken rule; the first one counts.
    pub(super) fn broken(&mut self, rule: &'static str, text: String) {
        self.violation.get_or_insert(Violation { rule, text });
    }

    /// A connection of `node` with `peer`.
    pub(super) fn open(&mut self, node: usize, peer: usize, lossless: bool) {
        let peer_losses = self.losses[peer][node];
        self.sides.push(Side { lossless, peer_losses, ..Side::default() });
    }

    /// A node has lost its session with another one, or ended it.
    pub(super) fn lost(&mut self, node: usize, peer: usize) {
        self.losses[node][peer] += 1;
    }

    /// How often that was.
    pub(super) fn losses(&self, node: usize, peer: usize) -> u32 {
        self.losses[node][peer]
    }

    /// A connection goes on with a socket whose dialler had lost so many sessions when it dialled.
    pub(super) fn meets(&mut self, con: usize, losses: u32) {
        self.sides[con].peer_losses = losses;
    }

    /// A number for a message that is about to be sent.
    pub(super) fn send(&mut self, con: usize, node: usize) -> usize {
        let (id, side) = (self.sent.len(), &mut self.sides[con]);
        let (epoch, index) = (side.epoch, side.list.len());
        side.list.push(id);
        let (revoked, barred, delivered) = (false, false, 0);
        self.sent.push(Sent { con, epoch, node, index, revoked, barred, delivered });
        id
    }

    /// How many there have been.
    pub(super) fn len(&self) -> usize {
        self.sent.len()
    }

    /// A message was taken back, before it had wholly left if `barred`.
    pub(super) fn revoke(&mut self, id: usize, barred: bool) {
        let sent = &mut self.sent[id];
        sent.revoked = true;
        if barred && sent.delivered > 0 {
            self.broken("came before it was sent", format!("message {id}"));
        } else {
            sent.barred = barred;
        }
    }

    /// `node` got a message through its connection `con`.
    pub(super) fn deliver(&mut self, con: usize, node: usize, id: usize) {
        let Some(sent) = self.sent.get_mut(id) else {
            return self.broken("invented", format!("message {id}"));
        };
        sent.delivered += 1;
        let again = sent.delivered > 1;
        let Sent { con: from, epoch, node: to, index, barred, .. } = *sent;
        let last_in = self.sides[con].last_in.replace(id);
        let text = format!("message {id} of con {from} at con {con} behind {last_in:?}");
        if to != node {
            return self.broken("delivered to somebody else", text);
        }
        if barred {
            return self.broken("delivered although it had been taken back", text);
        }
        let may_repeat = self.may_repeat || id < self.sides[from].repeats;
        if last_in == Some(id) || again && !(may_repeat && last_in < Some(id)) {
            return self.broken("delivered twice", text);
        }
        if last_in > Some(id) {
            return self.broken("out of order", text);
        }
        if self.sides[from].epoch != epoch {
            return self.broken("delivered after its session was reset", text);
        }
        if self.done(from) < index {
            let missing = self.sides[from].list[self.sides[from].done];
            self.broken("lost", format!("{text}: {missing} is missing"));
        }
    }

    /// A connection goes on although it said READY and has not heard whether the peer got that: if
    /// the peer has begun anew since, nobody can tell.
    pub(super) fn in_doubt(&mut self, con: usize) {
        self.sides[con].repeats = self.sent.len();
    }

    /// The first message of the connection that is still to come, as an index.
    fn done(&mut self, con: usize) -> usize {
        let Self { sent, sides, .. } = self;
        let side = &mut sides[con];
        while let Some(&id) = side.list.get(side.done)
            && (sent[id].delivered > 0 || sent[id].revoked)
        {
            side.done += 1;
        }
        side.done
    }

    /// The first message of the connection that is still to come.
    pub(super) fn missing(&mut self, con: usize) -> Option<usize> {
        let done = self.done(con);
        self.sides[con].list.get(done).copied()
    }

    /// What is still to come must be kept by a lossless session: `oldest` is the first that it has.
    pub(super) fn kept(&mut self, con: usize, oldest: Option<usize>) {
        if self.sides[con].lossless
            && let Some(missing) = self.missing(con)
            && oldest.is_none_or(|oldest| oldest > missing)
        {
            self.broken("given up", format!("con {con} has {oldest:?}, {missing} is to come"));
        }
    }

    /// A connection was told that its peer has lost the session, by one who has lost so many. That must
    /// be true, unless it is `in_doubt` whether the peer had ever heard of it.
    pub(super) fn remote_reset(&mut self, con: usize, losses: u32, in_doubt: bool) {
        let side = &mut self.sides[con];
        side.epoch += 1;
        side.list.clear();
        side.done = 0;
        if std::mem::replace(&mut side.peer_losses, losses) == losses && !in_doubt {
            let text = format!("con {con}: its peer has lost nothing since");
            self.broken("reset without a reason", text);
        }
    }
}
