//! Large messages.

use ceph_msgr::msgr::{Message, Policy};

use crate::end::*;
use crate::fake::Event;

for_each_protocol!(message_test);
sealed_too!(message_test);

const MSG_COMMAND: u16 = 97;

/// A very large front, of 30,720 strings, and very large data of 800 KB: both come back as they were sent.
fn message_test(protocol: Protocol) {
    let server = End::fake(Config::server(protocol).policy(Policy::STATEFUL_SERVER), true);
    let client = End::client(Config::client(protocol).policy(Policy::LOSSLESS_PEER));
    let con = client.connect_to(&server, server.addr());
    let letters = b"abcdefghijklmnopqrstuvwxyz";
    let mut front = vec![0; 16];
    front.extend(30_720u32.to_le_bytes());
    for _ in 0..30_720 {
        front.extend((letters.len() as u32).to_le_bytes());
        front.extend(letters);
    }
    let messages = [(front, vec![]), (vec![], letters.repeat(30_720))];
    for (n, (front, data)) in messages.iter().enumerate() {
        let msg = Message::new(MSG_COMMAND, front.clone()).with_data(data.clone());
        con.send(msg).expect("sent");
        client.dispatcher.wait(Event::Message, n + 1);
        for end in [&server, &client] {
            let (got_front, got_data) = end.dispatcher.last_message();
            assert_eq!((got_front.len(), got_data.len()), (front.len(), data.len()));
            assert!(got_front[..] == front[..] && got_data[..] == data[..]);
        }
    }
    client.shutdown();
    server.shutdown();
}
