//! Clusters of the distribution's Ceph, and what happens to those who use them.

#[path = "../common/mod.rs"]
mod common;

mod auth_none;
mod authserver;
mod captures;
mod commands;
mod failover;
mod handles;
mod lab;
mod link;
mod login;
mod messengers;
mod msgr2;
mod quorum;
mod sessions;
mod timeouts;
