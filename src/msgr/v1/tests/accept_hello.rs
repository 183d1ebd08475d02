//! The hellos of an accepted socket, and what it reads in which pieces.

use super::acceptor::*;
use super::dialler::*;
use super::*;
use crate::denc::DecodeErrorKind;
use crate::limits;

fn client_hello_of(addr: &[u8]) -> Vec<u8> {
    [b"ceph v027", addr].concat()
}

/// A legacy address of any type and family.
fn raw_addr(addr_type: u32, family: [u8; 2], port: u16, ip: &[u8]) -> Vec<u8> {
    let mut out = addr_type.to_le_bytes().to_vec();
    out.extend([NONCE.to_le_bytes()].concat());
    out.extend([family, port.to_be_bytes()].concat());
    out.extend(ip);
    out.resize(136, 0);
    out
}

/// What a dialler with that hello is taken for.
fn learned(hello: &[u8], from: &str) -> String {
    let l = Listener::mds();
    let mut socket =
        Socket { accept: Accept::new(l.own(), from.parse().unwrap()), pipe: Pipe::default() };
    assert!(socket.receive(&l, hello).unwrap().is_none());
    assert!(socket.accept.is_introduced());
    socket.offered(&l, &Request::first()).peer().addr.to_string()
}

#[test]
fn both_addresses_go_out_before_the_dialler_has_said_a_word() {
    let l = Listener::mds();
    let mut socket = l.socket();
    assert_eq!(socket.accept.own_addr(), l.own());
    assert!(socket.run(&l).unwrap().is_none());
    let out = socket.pipe.take_output();
    assert_eq!((out.len(), socket.pipe.calls.send), (281, 1));
    assert_eq!(out, hello());
    assert!(!socket.accept.is_introduced());
    assert_eq!(socket.accept.awaiting(), "banner");
}

#[test]
fn the_dialler_is_told_its_address_of_ipv6_too() {
    let own: EntityAddr = "v1:[2001:db8::1]:6789/9".parse().unwrap();
    let from = "[2001:db8::2%3]:51234".parse().unwrap();
    let mut socket = Socket { accept: Accept::new(own, from), pipe: Pipe::default() };
    socket.run(&Listener::mds()).unwrap();
    let v6 = |nonce: u32, port: u16, last: u8, scope: u8| {
        let mut ip = vec![0; 4];
        ip.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        ip.extend([scope, 0, 0, 0]);
        let mut out = vec![0; 4];
        out.extend([nonce.to_le_bytes()].concat());
        out.extend([[0, 10], port.to_be_bytes()].concat());
        out.extend(ip);
        out.resize(136, 0);
        out
    };
    let want = [&b"ceph v027"[..], &v6(9, 6789, 1, 0), &v6(0, 51234, 2, 3)].concat();
    assert_eq!(socket.pipe.output, want);
}

#[test]
fn a_blank_address_becomes_the_one_of_the_socket_with_the_port_that_was_claimed() {
    let v4 = [0, 2];
    for (claimed, from, want) in [
        (addr([0; 4], 0, NONCE), SOCKET, "v1:10.1.2.3:0/305419896"),
        (addr([0; 4], 6800, NONCE), SOCKET, "v1:10.1.2.3:6800/305419896"),
        (addr([0; 4], 6800, 0), "[2001:db8::2]:5", "v1:[2001:db8::2]:6800/0"),
        // What it knows stands, whatever the socket shows.
        (addr([192, 0, 2, 1], 6800, 5), SOCKET, "v1:192.0.2.1:6800/5"),
        (addr([192, 0, 2, 1], 0, 5), SOCKET, "v1:192.0.2.1:0/5"),
        // A family that is none, or in the wrong byte order, is a blank address.
        (raw_addr(0, [0, 0], 77, &[]), SOCKET, "v1:10.1.2.3:0/305419896"),
        (raw_addr(0, [2, 0], 77, &[192, 0, 2, 1]), SOCKET, "v1:10.1.2.3:0/305419896"),
        (raw_addr(0, v4, 77, &[192, 0, 2, 1]), SOCKET, "v1:192.0.2.1:77/305419896"),
        (raw_addr(0, [0, 10], 77, &[0; 24]), SOCKET, "v1:10.1.2.3:77/305419896"),
    ] {
        assert_eq!(learned(&client_hello_of(&claimed), from), want);
    }
}

#[test]
fn an_address_of_another_type_ends_the_handshake() {
    for addr_type in [1, 2, 3, 0x100, 0x0100_0000] {
        let l = Listener::mds();
        let mut socket = l.socket();
        let hello = client_hello_of(&raw_addr(addr_type, [0, 2], 1, &[10, 0, 0, 1]));
        let fault = socket.receive(&l, &hello).unwrap_err();
        let Fault::Decode(e) = &fault else { panic!("{fault:?}") };
        assert_eq!(e.kind, DecodeErrorKind::BadValue(addr_type.into()));
        assert_eq!(socket.run(&l).unwrap_err(), fault, "for ever");
    }
}

#[test]
fn a_banner_that_is_none_is_refused_at_its_first_byte_that_differs() {
    let banner = b"ceph v027";
    for n in 0..banner.len() {
        let mut junk = banner[..n].to_vec();
        junk.push(banner[n] ^ 0x20);
        let l = Listener::mds();
        let mut socket = l.socket();
        assert!(socket.receive(&l, &junk[..n]).unwrap().is_none());
        assert_eq!(socket.receive(&l, &junk[n..]).unwrap_err(), Fault::BadBanner, "byte {n}");
        let mut socket = l.socket();
        junk.resize(2000, b'x');
        assert_eq!(socket.receive(&l, &junk).unwrap_err(), Fault::BadBanner, "byte {n}");
    }
    for junk in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"\0", b"SSH-2.0-x\r\n"] {
        let l = Listener::mds();
        assert_eq!(l.socket().receive(&l, junk).unwrap_err(), Fault::BadBanner);
    }
}

#[test]
fn a_dialler_of_msgr2_is_named() {
    // Banner, length of the payload, features.
    let banner = [&b"ceph v2\n"[..], &16u16.to_le_bytes(), &[1; 16]].concat();
    for n in 1..=banner.len() {
        let l = Listener::mds();
        let outcome = l.socket().receive(&l, &banner[..n]);
        if n < 8 {
            assert!(outcome.unwrap().is_none(), "{n} bytes");
        } else {
            assert_eq!(outcome.unwrap_err(), Fault::PeerSpeaksV2, "{n} bytes");
        }
    }
}

/// A dialler that shows an authorizer of `none`, and what follows when its session is open.
fn all_at_once() -> (Listener, Vec<u8>) {
    let l = Listener::mds().auth(crate::auth::AuthNoneAuthorizeHandler);
    let mut authorizer = vec![1, 8, 0, 0, 0, 5, 0, 0, 0];
    authorizer.extend(b"admin");
    authorizer.extend(4242u64.to_le_bytes());
    let request = Request::first().authorizer(1, &authorizer);
    let mut all = [client_hello(), request.bytes(), 0u64.to_le_bytes().to_vec()].concat();
    (1..=3).for_each(|n| all.extend(Msg::new(n).bytes(true)));
    (l, all)
}

/// Lets all of it through, in the order in which it comes; what was written, and what came.
fn outcome(l: &Listener, socket: &mut Option<Socket>, con: &mut Option<Con>) {
    if let Some(mut s) = socket.take() {
        match s.run(l).unwrap() {
            None => *socket = Some(s),
            Some(offer) => {
                assert_eq!(accepted(&offer).peer.name.to_string(), "client.admin");
                assert_eq!(offer.peer().name, EntityName::new(EntityType::CLIENT, 4242));
                let mut new = l.con(*offer.peer());
                l.take_over(&mut new, s, offer, false);
                *con = Some(new);
            }
        }
    }
    if let Some(con) = con {
        con.run().unwrap();
    }
}

fn expected_output() -> Vec<u8> {
    let reply = Reply { protocol_version: 32, ..Reply::new(SEQ) }.global_seq(1);
    let ack = [&[8][..], &3u64.to_le_bytes()].concat();
    [hello(), reply.bytes(), ack].concat()
}

#[test]
fn every_split_of_what_a_dialler_sends_ends_the_same() {
    let (_, all) = all_at_once();
    for split in 0..=all.len() {
        let (l, _) = all_at_once();
        let (mut socket, mut con) = (Some(l.socket()), None::<Con>);
        for bytes in [&all[..split], &all[split..]] {
            match (&mut socket, &mut con) {
                (Some(s), _) => s.pipe.feed(bytes),
                (_, Some(c)) => c.pipe.feed(bytes),
                _ => unreachable!(),
            }
            outcome(&l, &mut socket, &mut con);
        }
        let mut con: Con = con.expect("an open session");
        assert_eq!(con.received(), [1, 2, 3], "split at {split}");
        let out = con.pipe.take_output();
        let (opening, acks) = out.split_at(281 + 26 + 8);
        assert_eq!(opening, &expected_output()[..281 + 26 + 8], "split at {split}");
        let frames = parse_frames(acks, true);
        assert_eq!(frames.last(), Some(&Frame::Ack(3)), "split at {split}");
    }
}

#[test]
fn byte_by_byte_and_all_at_once() {
    for per_recv in [1, 2, 3, 7, 100, usize::MAX] {
        let (l, all) = all_at_once();
        let (mut socket, mut con) = (Some(l.socket()), None);
        let pipe = &mut socket.as_mut().unwrap().pipe;
        pipe.per_recv = per_recv;
        pipe.feed(&all);
        for _ in 0..=all.len() {
            outcome(&l, &mut socket, &mut con);
        }
        let mut con: Con = con.expect("an open session");
        assert_eq!((con.received(), con.pipe.unread()), (vec![1, 2, 3], 0));
        let out = con.pipe.take_output();
        assert_eq!(out[..281 + 26 + 8], expected_output()[..281 + 26 + 8], "{per_recv} at a time");
    }
}

/// Whatever the transport takes, nothing is read and decided before all of it is out.
#[test]
fn a_transport_that_takes_a_few_bytes_holds_up_the_handshake_and_changes_nothing() {
    let want = expected_output();
    for stop in 0..=want.len() {
        let (l, all) = all_at_once();
        let (mut socket, mut con) = (Some(l.socket()), None);
        let pipe = &mut socket.as_mut().unwrap().pipe;
        pipe.budget = stop;
        pipe.feed(&all);
        outcome(&l, &mut socket, &mut con);
        if let Some(s) = &mut socket {
            assert!(stop < 281, "{stop} bytes");
            assert_eq!((&s.pipe.output[..], s.pipe.unread()), (&want[..stop], all.len()));
            s.pipe.budget = usize::MAX;
        } else if let Some(con) = &mut con {
            assert!(stop >= 281);
            assert_eq!(con.pipe.output, want[..stop]);
            if stop < 281 + 26 + 8 {
                assert!(con.tx.is_gated() && con.events.is_empty(), "{stop} bytes");
            }
            con.pipe.budget = usize::MAX;
        }
        outcome(&l, &mut socket, &mut con);
        let mut con: Con = con.expect("an open session");
        assert_eq!(con.received(), [1, 2, 3], "{stop} bytes");
        assert_eq!(con.pipe.output, want, "{stop} bytes");
    }
}

#[test]
fn the_machine_itself_reads_nothing_before_all_is_written() {
    let l = Listener::mds();
    let mut socket = l.socket();
    socket.pipe.feed(&client_hello());
    for sent in 0..281 {
        assert!(socket.accept.read_partial(&mut socket.pipe).unwrap().is_none(), "{sent} sent");
        assert_eq!((socket.pipe.calls.recv, socket.pipe.unread()), (0, 145));
        socket.pipe.budget = 1;
        socket.accept.try_write(&mut socket.pipe).unwrap();
    }
    assert!(socket.accept.read_partial(&mut socket.pipe).unwrap().is_some());
}

#[test]
fn the_length_of_an_authorizer_is_compared_before_it_is_awaited() {
    for (len, ok) in [(0, true), (4096, true), (4097, false), (1 << 31, false), (u32::MAX, false)] {
        let l = Listener::mds();
        let mut socket = l.introduced();
        let mut bytes = Request::first().authorizer(2, &[]).bytes();
        bytes[28..32].copy_from_slice(&u32::to_le_bytes(len));
        if !ok {
            let fault = socket.receive(&l, &bytes).unwrap_err();
            assert_eq!(fault, Fault::AuthorizerTooLong(len));
            continue;
        }
        if len > 0 {
            assert!(socket.receive(&l, &bytes).unwrap().is_none());
            assert_eq!(socket.accept.awaiting(), "authorizer behind the connect message");
            bytes = vec![7; len as usize];
        }
        assert!(socket.receive(&l, &bytes).unwrap().is_none());
        assert_eq!(Reply::parse(&socket.pipe.take_output()).tag, BADAUTHORIZER);
        assert_eq!(socket.accept.awaiting(), "connect message");
    }
}

#[test]
fn a_dialler_that_never_comes_to_an_end_is_cut_off() {
    let l = Listener::mds();
    let mut socket = l.introduced();
    let wrong = Request { protocol_version: 1, ..Request::first() };
    for _ in 0..limits::MAX_CONNECT_ROUNDS {
        assert_eq!(socket.refused(&l, &wrong).tag, BADPROTOVER);
    }
    let fault = socket.receive(&l, &Request::first().bytes()).unwrap_err();
    assert_eq!(fault, Fault::TooManyRounds(limits::MAX_CONNECT_ROUNDS));
}

#[test]
fn the_end_of_the_stream_at_each_byte() {
    let (_, all) = all_at_once();
    let handshake = 145 + 33 + 22;
    for n in 0..handshake {
        for reset in [false, true] {
            let (l, _) = all_at_once();
            let mut socket = l.socket();
            socket.pipe.feed(&all[..n]);
            if reset {
                (socket.pipe.cut_in, socket.pipe.per_recv) = (n, 50);
                socket.pipe.feed(&all[n..]);
            } else {
                socket.pipe.eof = true;
            }
            let fault = loop {
                match socket.run(&l) {
                    Ok(offer) => assert!(offer.is_none(), "{n} bytes"),
                    Err(fault) => break fault,
                }
            };
            let want = match reset {
                true => Fault::Io(std::io::ErrorKind::ConnectionReset),
                false => Fault::PeerClosed,
            };
            assert_eq!(fault, want, "{n} bytes");
            assert_eq!(socket.accept.is_introduced(), n >= 145);
            assert_eq!(socket.run(&l).unwrap_err(), want);
        }
    }
}

#[test]
fn what_is_awaited_is_named() {
    let l = Listener::mds();
    let mut socket = l.socket();
    let hello = client_hello();
    for (bytes, awaiting) in [
        (&hello[..8], "banner"),
        (&hello[8..9], "address behind the banner"),
        (&hello[9..], "connect message"),
    ] {
        socket.receive(&l, bytes).unwrap();
        assert_eq!(socket.accept.awaiting(), awaiting);
    }
}
