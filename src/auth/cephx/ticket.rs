use std::collections::BTreeMap;
use std::time::Instant;

use super::{CephXAuthorizer, CephXTicketBlob, ServiceTicketReply};
use crate::auth::AuthError;
use crate::crypto::{CryptoError, CryptoKey};
use crate::denc::{DecodeErrorKind, Reader};
use crate::types::{EntityType, GlobalId};

/// A ticket that we hold and how long it is good for (`CephXTicketHandler`; in the kernel
/// `ceph_x_ticket_handler`).
#[derive(Clone, Debug)]
pub(crate) struct CephXTicketHandler {
    session_key: CryptoKey,
    ticket: CephXTicketBlob,
    renew_after: Instant,
    expires: Instant,
    /// Cleared when a peer refused the ticket. It is kept, for the monitors may still accept it
    /// as the old ticket of a login.
    have_key: bool,
}

impl CephXTicketHandler {
    fn have_key(&self, now: Instant) -> bool {
        self.have_key && now < self.expires
    }

    fn need_key(&self, now: Instant) -> bool {
        !self.have_key || now >= self.renew_after
    }
}

/// The tickets of one session with the monitors, by service (`CephXTicketManager`).
#[derive(Clone, Debug, Default)]
pub(crate) struct CephXTicketManager {
    tickets: BTreeMap<EntityType, CephXTicketHandler>,
}

impl CephXTicketManager {
    /// Opens a list of tickets and replaces those that it brings: all of them or, on an error,
    /// none. `asked` is the mask of services that may be in it; others are left out.
    pub(crate) fn verify_service_ticket_reply(
        &mut self,
        principal_secret: &CryptoKey,
        asked: u32,
        r: &mut Reader<'_>,
        now: Instant,
    ) -> Result<(), AuthError> {
        let mut opened = Vec::new();
        for reply in ServiceTicketReply::decode_list(r)? {
            let Some(service) = asked_service(reply.service_id, asked) else {
                log::debug!("ticket for service {:#x} was not asked for", reply.service_id);
                continue;
            };
            let old_session_key = self.tickets.get(&service).map(|old| &old.session_key);
            let (for_me, ticket) = reply.open(principal_secret, old_session_key)?;
            let validity = for_me.validity.as_duration();
            let after = |age| {
                let bad = r.error(DecodeErrorKind::BadValue(for_me.validity.sec.into()));
                let source = CryptoError::Decode(bad);
                let bad = AuthError::BadTicket { service: reply.service_id, source };
                now.checked_add(age).ok_or(bad)
            };
            let handler = CephXTicketHandler {
                session_key: for_me.session_key,
                ticket,
                renew_after: after(validity - validity / 4)?,
                expires: after(validity)?,
                have_key: true,
            };
            opened.push((service, handler));
        }
        self.tickets.extend(opened);
        Ok(())
    }

    /// The ticket of a service while it is good, as an authorizer.
    pub(crate) fn build_authorizer(
        &self,
        global_id: GlobalId,
        service: EntityType,
        now: Instant,
    ) -> Result<CephXAuthorizer, AuthError> {
        let handler = self.tickets.get(&service).filter(|t| t.have_key(now));
        let t = handler.ok_or(AuthError::NoTicket { service })?;
        let (ticket, key) = (&t.ticket, &t.session_key);
        Ok(CephXAuthorizer::with_random_nonce(global_id, service, ticket, key)?)
    }

    /// The AUTH ticket to show when an old global_id is claimed, good or not: the monitors decide.
    pub(crate) fn old_ticket(&self) -> Option<&CephXTicketBlob> {
        let handler = self.tickets.get(&EntityType::AUTH)?;
        (!handler.ticket.blob.is_empty()).then_some(&handler.ticket)
    }

    /// The session key of the AUTH ticket.
    pub(crate) fn auth_session_key(&self) -> Option<&CryptoKey> {
        self.tickets.get(&EntityType::AUTH).map(|t| &t.session_key)
    }

    /// Asks for a new ticket at the next renewal, and hands this one out no more.
    pub(crate) fn invalidate_ticket(&mut self, service: EntityType) {
        if let Some(handler) = self.tickets.get_mut(&service) {
            handler.have_key = false;
        }
    }

    /// Which of the services in the mask `want` have no ticket, or one whose renewal is due.
    pub(crate) fn validate_tickets(&self, want: u32, now: Instant) -> u32 {
        services(want)
            .filter(|service| self.tickets.get(service).is_none_or(|t| t.need_key(now)))
            .fold(0, |need, service| need | u32::from(service.0))
    }

    /// When the next of the tickets in the mask `want` is due for renewal; `now` if one is.
    pub(crate) fn next_renewal(&self, want: u32, now: Instant) -> Option<Instant> {
        if need_tickets(self.validate_tickets(want, now)) {
            return Some(now);
        }
        services(want).filter_map(|s| self.tickets.get(&s)).map(|t| t.renew_after).min()
    }
}

/// Whether it is worth a request. A monitor of a cluster that is being upgraded has no ticket for
/// the manager yet, and would be asked again and again.
pub(crate) fn need_tickets(need: u32) -> bool {
    need != 0 && need != u32::from(EntityType::MGR.0)
}

/// The services whose bits are in the mask.
fn services(mask: u32) -> impl Iterator<Item = EntityType> {
    (0..u8::BITS).map(|bit| EntityType(1 << bit)).filter(move |s| mask & u32::from(s.0) != 0)
}

fn asked_service(service_id: u32, asked: u32) -> Option<EntityType> {
    let service = EntityType(u8::try_from(service_id).ok()?);
    (service_id.is_power_of_two() && service_id & asked != 0).then_some(service)
}
