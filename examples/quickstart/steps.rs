//! One step after the other, each with its checks.

use std::cell::RefCell;
use std::collections::VecDeque;

use anyhow::{Context as _, Result, bail, ensure};
use ceph_msgr::msgr::{Message, Peer, Policy};
use ceph_msgr::net::{Connection, Delivery, Inbox, Listener};
use ceph_msgr::testing::{CommandReply, Commands, Mon};
use ceph_msgr::types::{EntityType, Features};
use ceph_msgr::{Cluster, Command};

use crate::protocol::Protocol;
use crate::service::{self, ECHO};
use crate::{soon, speed};

/// The dialling end of the session, and what comes out of it.
pub(crate) struct Client {
    con: Connection,
    inbox: Inbox,
    /// Messages that came while something else was waited for.
    early: RefCell<VecDeque<Message>>,
}

/// All ends of one protocol, and the session between two of them.
pub(crate) struct Pair {
    pub(crate) protocol: Protocol,
    pub(crate) client: Client,
    cluster: Cluster,
    server: Listener,
    _mon: Mon,
}

pub(crate) fn run(protocols: &[Protocol]) -> Result<()> {
    let pairs = protocols.iter().map(|protocol| Pair::open(*protocol));
    let pairs = pairs.collect::<Result<Vec<_>>>()?;
    println!("6. Speed, beside a raw TCP socket\n");
    speed::table(&pairs)?;
    pairs.into_iter().try_for_each(Pair::close)
}

impl Pair {
    /// All steps but the last, for which the session stays open.
    fn open(protocol: Protocol) -> Result<Self> {
        println!("== {protocol}");
        println!("1. A monitor's part, with the key of client.admin");
        let status = |_: &_| CommandReply::ok("HEALTH_OK, for what it is worth\n");
        let mon = protocol
            .configure_mon(Mon::builder())
            .commands(Commands::new().on("status", "show cluster status", status))
            .start()
            .context("start the monitor's part")?;
        println!("   listens at {}", mon.mon_host());
        let auth_server = mon.service(EntityType::MDS, Commands::new()).auth_server();
        let server = service::start(auth_server, protocol)?;
        println!("   and a service's part, {}, at {}", service::name(), server.addrs()[0]);

        println!("2. A client logs in with cephx");
        let client = mon.cluster().timeout(std::time::Duration::from_secs(30));
        let cluster = protocol.configure(client).connect()?;
        println!("   it is client.{}, and has tickets for the services", cluster.global_id());
        let status = cluster.mon_command(&Command::new("status"))?;
        print!("   the command `status` says: {}", String::from_utf8_lossy(&status.outbl));

        match protocol {
            Protocol::V1 => {
                println!("3. It opens a signed session with the service, by its ticket");
            }
            Protocol::V2(mode) => {
                println!("3. It opens a session in {mode} mode with the service, by its ticket");
            }
        }
        let client = Client::open(&cluster, &server)?;
        let accepted = accepted(&server)?;
        match protocol {
            Protocol::V1 => {
                let features = client.con.features();
                ensure!(features.has(Features::MSG_AUTH), "messages are not signed");
            }
            Protocol::V2(mode) => {
                let modes = [client.con.con_mode(), accepted.con_mode()];
                ensure!(modes == [Some(mode); 2], "the modes are {modes:?}");
            }
        }
        let shown = accepted.auth_peer().context("the service does not know its peer")?;
        ensure!(shown.global_id == cluster.global_id(), "the ticket was somebody else's");
        println!("   the service knows it: {}, global_id {}", shown.name, shown.global_id);

        client.there_and_back()?;
        client.lose_sockets(&accepted)?;
        println!();
        Ok(Self { protocol, client, cluster, server, _mon: mon })
    }

    fn close(self) -> Result<()> {
        self.client.con.close(soon())?;
        self.server.close(soon())?;
        self.cluster.close()?;
        Ok(())
    }
}

/// How long messages are, and how many of them.
const SIZES: [(usize, u32); 2] = [(4 << 10, 1000), (4 << 20, 16)];

fn size(len: usize) -> String {
    if len < 1 << 20 { format!("{} KiB", len >> 10) } else { format!("{} MiB", len >> 20) }
}

fn accepted(server: &Listener) -> Result<Connection> {
    let mut all = server.connections();
    ensure!(all.len() == 1, "{} sessions where one was opened", all.len());
    Ok(all.remove(0))
}

impl Client {
    fn open(cluster: &Cluster, server: &Listener) -> Result<Self> {
        let inbox = Inbox::new(1000)?;
        let policy = Policy::LOSSLESS_CLIENT;
        let peer = Peer { name: service::name(), addr: server.addrs()[0], policy };
        let con = cluster.open_connection(peer, inbox.dispatcher())?;
        let client = Self { con, inbox, early: RefCell::default() };
        client.wait_connected()?;
        Ok(client)
    }

    fn there_and_back(&self) -> Result<()> {
        println!("4. Messages there and back");
        for (len, n) in SIZES {
            self.exchange(0..n, len, |_| Ok(()))?;
            println!("   {n} of {}: all came back, in order", size(len));
        }
        Ok(())
    }

    fn lose_sockets(&self, accepted: &Connection) -> Result<()> {
        println!("5. The socket is lost in the middle, three times with each size");
        let before = self.con.counters().opened;
        let ends = [accepted, &self.con, &self.con];
        for (len, n) in SIZES {
            self.exchange(0..n, len, |sent| {
                // After an eighth, three eighths and five eighths of them.
                let lost_here = sent % (n / 4) == n / 8;
                match ends.get((sent * 4 / n) as usize).filter(|_| lost_here) {
                    Some(end) => self.lose_socket(end),
                    None => Ok(()),
                }
            })?;
            println!("   {n} of {}: each came back once, in order", size(len));
        }
        let opened = self.con.counters().opened - before;
        ensure!(opened == 6, "3 sockets were lost with each size, and {opened} sessions resumed");
        self.con.acked(soon())?;
        println!("   the session was resumed {opened} times, and all is acknowledged");
        Ok(())
    }

    pub(crate) fn send(&self, msg: Message) -> Result<()> {
        self.con.send(msg)?;
        Ok(())
    }

    /// The next message.
    pub(crate) fn receive(&self) -> Result<Message> {
        if let Some(msg) = self.early.borrow_mut().pop_front() {
            return Ok(msg);
        }
        match self.inbox.recv(soon())? {
            Delivery::Message(_, msg) => Ok(msg),
            other => bail!("{other:?}"),
        }
    }

    /// Breaks the socket at that end, and waits until the session goes on over another one.
    fn lose_socket(&self, end: &Connection) -> Result<()> {
        end.inject_socket_failure();
        self.wait_connected()
    }

    fn wait_connected(&self) -> Result<()> {
        loop {
            match self.inbox.recv(soon())? {
                Delivery::Connected(_) => return Ok(()),
                Delivery::Message(_, msg) => self.early.borrow_mut().push_back(msg),
                other => bail!("{other:?}"),
            }
        }
    }

    /// Sends numbered messages of that length, and takes them back as they come; `after` is called
    /// after each that was sent.
    fn exchange(
        &self,
        numbers: std::ops::Range<u32>,
        len: usize,
        after: impl Fn(u32) -> Result<()>,
    ) -> Result<()> {
        /// As many are under way at once.
        const WINDOW: u32 = 8;
        for n in numbers.clone() {
            let data = vec![n as u8; len];
            self.send(Message::new(ECHO, n.to_le_bytes().to_vec()).with_data(data))?;
            after(n)?;
            if n >= WINDOW {
                self.take_back(n - WINDOW, len)?;
            }
        }
        let first = numbers.end.saturating_sub(WINDOW);
        (first..numbers.end).try_for_each(|n| self.take_back(n, len))
    }

    fn take_back(&self, n: u32, len: usize) -> Result<()> {
        let msg = self.receive()?;
        ensure!(msg.front[..] == n.to_le_bytes(), "{:?} came, not message {n}", msg.front);
        let whole = msg.data.len() == len && msg.data.iter().all(|b| *b == n as u8);
        ensure!(whole, "message {n} came back changed");
        Ok(())
    }
}
