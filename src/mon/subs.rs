use std::collections::BTreeMap;

use crate::messages::mon::SubscribeItem;

/// What is subscribed to, and from which epoch on (`src/mon/MonSub.h`).
#[derive(Debug, Default)]
pub(super) struct Subs(BTreeMap<String, SubscribeItem>);

impl Subs {
    /// Wants `what` from epoch `start` on, once or for ever. Something that is wanted for ever
    /// stays so. Returns whether the monitor has to be told.
    pub(super) fn want(&mut self, what: &str, start: u64, onetime: bool) -> bool {
        match self.0.get_mut(what) {
            Some(item) if !is_onetime(item) => {
                let earlier = start < item.start;
                item.start = item.start.min(start);
                earlier
            }
            Some(item) => {
                *item = wanted(item.start.min(start), onetime);
                true
            }
            None => {
                self.0.insert(what.to_owned(), wanted(start, onetime));
                true
            }
        }
    }

    /// Whether every epoch of `what` comes anyway.
    pub(super) fn is_followed(&self, what: &str) -> bool {
        self.0.get(what).is_some_and(|item| !is_onetime(item))
    }

    /// Epoch `epoch` of `what` is here.
    pub(super) fn got(&mut self, what: &str, epoch: u64) {
        if let Some(item) = self.0.get_mut(what) {
            if is_onetime(item) && epoch >= item.start {
                self.0.remove(what);
            } else {
                item.start = item.start.max(epoch + 1);
            }
        }
    }

    /// Everything that is wanted now.
    pub(super) fn items(&self) -> BTreeMap<String, SubscribeItem> {
        self.0.clone()
    }
}

fn wanted(start: u64, onetime: bool) -> SubscribeItem {
    SubscribeItem { start, flags: if onetime { SubscribeItem::ONETIME } else { 0 } }
}

fn is_onetime(item: &SubscribeItem) -> bool {
    item.flags & SubscribeItem::ONETIME != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_is_not_asked_for_again() {
        let mut subs = Subs::default();
        assert!(subs.want("monmap", 0, false));
        subs.got("monmap", 3);
        subs.got("monmap", 2);
        assert_eq!(subs.items()["monmap"], wanted(4, false));
        assert!(!subs.want("monmap", 9, true), "it comes anyway");
        assert_eq!(subs.items()["monmap"], wanted(4, false));
    }

    #[test]
    fn what_is_wanted_once_is_forgotten_when_it_comes() {
        let mut subs = Subs::default();
        assert!(subs.want("osdmap", 7, true));
        subs.got("osdmap", 6);
        assert_eq!(subs.items().len(), 1, "an older one is not what was asked for");
        subs.got("osdmap", 7);
        assert!(subs.items().is_empty());
    }
}
