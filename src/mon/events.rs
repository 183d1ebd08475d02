use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, Weak};

use super::{MgrMap, MonMap};
use crate::error::{Error, ErrorKind, Result};
use crate::messages::mon::MConfig;
use crate::messages::osd::MOSDMap;
use crate::net::{Deadline, Messenger, check_may_block};
use crate::types::Epoch;

/// What a subscription brings.
#[derive(Clone, Debug)]
pub enum MapEvent {
    /// A new monmap.
    MonMap(Arc<MonMap>),
    /// A new map of the managers.
    MgrMap(Arc<MgrMap>),
    /// Epochs of the OSD map, full or incremental, as the monitor sent them.
    OsdMap(Arc<MOSDMap>),
    /// The options that the monitors keep for this client.
    Config(Arc<MConfig>),
}

/// How many events wait for a slow reader before the oldest is dropped.
const CAPACITY: usize = 1024;

/// The events of one subscriber, in order. Where it does not keep up the oldest are dropped, and
/// [`MapEvents::dropped`] counts them: every kind of map can be asked for anew.
#[derive(Debug)]
pub struct MapEvents {
    queue: Arc<Queue>,
    /// Knows a fork.
    messenger: Messenger,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<MapEvent>,
    dropped: u64,
    /// The epochs of the monmap and of the map of the managers that came last.
    monmap: Epoch,
    mgrmap: Epoch,
    closed: Option<(ErrorKind, String)>,
}

impl MapEvents {
    /// Those of a fork: there is nobody to bring any.
    pub(super) fn forked(messenger: Messenger) -> Self {
        Self { queue: Arc::default(), messenger }
    }

    /// The next event; waits for it, at most to the deadline.
    pub fn recv(&self, deadline: Deadline) -> Result<MapEvent> {
        self.messenger.check_fork()?;
        check_may_block()?;
        let mut state = self.queue.state.lock().unwrap_or_else(|e| e.into_inner());
        loop {
            if let Some(event) = state.events.pop_front() {
                return Ok(event);
            }
            if let Some((kind, text)) = &state.closed {
                return Err(Error::new(*kind, text.clone()));
            }
            let (guard, in_time) = deadline.wait(&self.queue.changed, state);
            state = guard;
            if !in_time {
                return Err(Error::new(ErrorKind::Timeout, "no new map in time"));
            }
        }
    }

    /// How many events were dropped because nobody took them; none in a fork.
    pub fn dropped(&self) -> u64 {
        if self.messenger.check_fork().is_err() {
            return 0;
        }
        self.queue.state.lock().unwrap_or_else(|e| e.into_inner()).dropped
    }
}

impl State {
    /// Whether a map has not come before: with each login the monitor sends its monmap unasked,
    /// and what one subscriber asks for comes to all.
    fn is_new(&mut self, event: &MapEvent) -> bool {
        let (last, epoch) = match event {
            MapEvent::MonMap(map) => (&mut self.monmap, map.epoch),
            MapEvent::MgrMap(map) => (&mut self.mgrmap, map.epoch),
            // One message brings many epochs, from wherever somebody wanted them.
            MapEvent::OsdMap(_) | MapEvent::Config(_) => return true,
        };
        let is_new = epoch > *last;
        *last = epoch.max(*last);
        is_new
    }
}

/// The subscribers.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    queues: Vec<Weak<Queue>>,
    closed: Option<(ErrorKind, &'static str)>,
}

impl Watchers {
    pub(super) fn add(&mut self, messenger: Messenger) -> MapEvents {
        let state = State {
            closed: self.closed.map(|(kind, text)| (kind, text.to_owned())),
            ..State::default()
        };
        let queue = Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new() });
        self.queues.retain(|w| w.strong_count() > 0);
        self.queues.push(Arc::downgrade(&queue));
        MapEvents { queue, messenger }
    }

    pub(super) fn tell(&self, event: &MapEvent) {
        for queue in self.queues.iter().filter_map(Weak::upgrade) {
            let mut state = queue.state.lock().unwrap_or_else(|e| e.into_inner());
            if !state.is_new(event) {
                continue;
            }
            if state.events.len() >= CAPACITY {
                state.events.pop_front();
                state.dropped += 1;
            }
            state.events.push_back(event.clone());
            queue.changed.notify_all();
        }
    }

    /// Nothing more will come.
    pub(super) fn close(&mut self, kind: ErrorKind, text: &'static str) {
        self.closed.get_or_insert((kind, text));
        self.end(kind, text);
    }

    /// Nothing more will come to those who watch now.
    pub(super) fn end(&mut self, kind: ErrorKind, text: &str) {
        for queue in self.queues.drain(..).filter_map(|queue| queue.upgrade()) {
            let mut state = queue.state.lock().unwrap_or_else(|e| e.into_inner());
            state.closed.get_or_insert_with(|| (kind, text.to_owned()));
            queue.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msgr::Options;
    use crate::net::Timeouts;
    use crate::types::{EntityType, Epoch};

    #[test]
    fn who_watches_hears_of_a_refusal_once_and_later_watchers_begin_anew() {
        let mut watchers = Watchers::default();
        let messenger =
            Messenger::new(EntityType::CLIENT, Options::default(), Timeouts::default()).unwrap();
        let before = watchers.add(messenger.clone());
        watchers.end(ErrorKind::Auth, "refused");
        let after = watchers.add(messenger);
        let map = MonMap { epoch: Epoch(7), ..MonMap::default() };
        watchers.tell(&MapEvent::MonMap(Arc::new(map)));
        let deadline = || Deadline::after(std::time::Duration::ZERO);
        assert_eq!(before.recv(deadline()).unwrap_err().kind(), ErrorKind::Auth);
        assert!(
            matches!(after.recv(deadline()), Ok(MapEvent::MonMap(map)) if map.epoch == Epoch(7))
        );
        assert!(after.recv(deadline()).unwrap_err().is_timeout());
    }
}
