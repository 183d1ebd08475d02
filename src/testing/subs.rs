use std::collections::BTreeMap;

use super::maps::Maps;
use crate::limits::{MAX_SUBSCRIPTION_LEN, MAX_SUBSCRIPTIONS};
use crate::messages::mon::SubscribeItem;
use crate::msgr::Message;
use crate::types::Features;

/// What one client has subscribed to (`Subscription` in `src/mon/Session.h`).
#[derive(Debug, Default)]
pub(super) struct SubMap(BTreeMap<String, Subscription>);

#[derive(Debug)]
struct Subscription {
    /// The first version that is still to be sent.
    next: u64,
    onetime: bool,
}

impl SubMap {
    /// Adds a subscription, or replaces the one of that name. Whether there was room for it.
    pub(super) fn add_update(&mut self, what: &str, item: SubscribeItem) -> bool {
        let is_new = !self.0.contains_key(what);
        if what.len() > MAX_SUBSCRIPTION_LEN || (is_new && self.0.len() >= MAX_SUBSCRIPTIONS) {
            return false;
        }
        let onetime = item.flags & SubscribeItem::ONETIME != 0;
        self.0.insert(what.to_owned(), Subscription { next: item.start, onetime });
        true
    }

    /// The messages that are due, in the order of their names.
    pub(super) fn check(&mut self, maps: &Maps, features: Features) -> Vec<Message> {
        let mut due = Vec::new();
        self.0.retain(|what, sub| {
            if maps.version(what).is_none_or(|version| version < sub.next) {
                return true;
            }
            let Some((version, msg)) = maps.latest(what, features) else { return true };
            due.push(msg);
            sub.next = version + 1;
            !sub.onetime
        });
        due
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}
