use super::*;

fn shown(mons: &[MonHost]) -> String {
    let show = |mon: &MonHost| match &mon.at {
        MonAddr::Addrs(addrs) => format!("{} {addrs}", mon.name),
        MonAddr::Host { host, port } => format!("{} {host} port {port}", mon.name),
    };
    mons.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// What `ceph -c FILE --debug-monc 20 -s` of 16.2.15 logged as its first monmap, less its
/// `mon.` and in the order of the list.
#[test]
fn lists_as_ceph_reads_them() {
    for (list, mons) in [
        ("", ""),
        ("1.2.3.4", "noname-a v2:1.2.3.4:3300/0, noname-a-legacy v1:1.2.3.4:6789/0"),
        ("1.2.3.4:0", "noname-a v2:1.2.3.4:3300/0, noname-a-legacy v1:1.2.3.4:6789/0"),
        ("1.2.3.4:3300", "noname-a v2:1.2.3.4:3300/0"),
        ("1.2.3.4:6789", "noname-a-legacy v1:1.2.3.4:6789/0"),
        ("1.2.3.4:40000", "noname-a v2:1.2.3.4:40000/0, noname-a-legacy v1:1.2.3.4:40000/0"),
        ("1.2.3.4/7", "noname-a v2:1.2.3.4:3300/7, noname-a-legacy v1:1.2.3.4:6789/7"),
        ("v1:1.2.3.4", "noname-a v1:1.2.3.4:6789/0"),
        ("v2:1.2.3.4", "noname-a v2:1.2.3.4:3300/0"),
        ("v1:1.2.3.4:5", "noname-a v1:1.2.3.4:5/0"),
        ("v2:1.2.3.4:5/7", "noname-a v2:1.2.3.4:5/7"),
        ("any:1.2.3.4:6789", "noname-a-legacy v1:1.2.3.4:6789/0"),
        ("any:1.2.3.4", "noname-a v2:1.2.3.4:3300/0, noname-a-legacy v1:1.2.3.4:6789/0"),
        ("v2:1.2.3.4,v1:1.2.3.5", "noname-a v2:1.2.3.4:3300/0, noname-b v1:1.2.3.5:6789/0"),
        (
            "v2:1.1.1.1 v2:2.2.2.2;v2:3.3.3.3",
            "noname-a v2:1.1.1.1:3300/0, noname-b v2:2.2.2.2:3300/0, noname-c v2:3.3.3.3:3300/0",
        ),
        (",v2:1.1.1.1,, v2:2.2.2.2,", "noname-a v2:1.1.1.1:3300/0, noname-b v2:2.2.2.2:3300/0"),
        ("1.2.3.4 1.2.3.4:3300", "noname-a v2:1.2.3.4:3300/0, noname-a-legacy v1:1.2.3.4:6789/0"),
        ("::1", "noname-a v2:[::1]:3300/0, noname-a-legacy v1:[::1]:6789/0"),
        ("[::1]", "noname-a v2:[::1]:3300/0, noname-a-legacy v1:[::1]:6789/0"),
        ("[::1]:6789", "noname-a-legacy v1:[::1]:6789/0"),
        ("v2:[::1]:77", "noname-a v2:[::1]:77/0"),
        ("[1.2.3.4]:3300", "noname-a v2:1.2.3.4:3300/0"),
        ("[v2:1.2.3.4:3300,v1:1.2.3.4:6789]", "noname-a [v2:1.2.3.4:3300/0,v1:1.2.3.4:6789/0]"),
        (
            "[v2:1.2.3.4:3300/0,v1:1.2.3.4:6789/0],[v2:1.2.3.5:1/0,v1:1.2.3.5:2/0]",
            "noname-a [v2:1.2.3.4:3300/0,v1:1.2.3.4:6789/0], noname-b [v2:1.2.3.5:1/0,v1:1.2.3.5:2/0]",
        ),
        ("[v2:[::1]:3300,v1:[::1]:6789]", "noname-a [v2:[::1]:3300/0,v1:[::1]:6789/0]"),
        ("[v2:1.2.3.4]", "noname-a v2:1.2.3.4:3300/0"),
        ("[1.2.3.4:5,1.2.3.4:6]", "noname-a [v2:1.2.3.4:5/0,v2:1.2.3.4:6/0]"),
        ("[[::1]:5]", "noname-a v2:[::1]:5/0"),
        // Ceph resolved these.
        ("localhost", "noname-a localhost port 0"),
        ("localhost:", "noname-a localhost port 0"),
        ("localhost:77", "noname-a localhost port 77"),
        ("[localhost]:77", "noname-a localhost port 77"),
        ("127.1", "noname-a 127.1 port 0"),
        ("localhost,v1:1.2.3.4", "noname-a localhost port 0, noname-b v1:1.2.3.4:6789/0"),
    ] {
        assert_eq!(shown(&parse(list).unwrap()), mons, "{list}");
    }
}

/// Where this is not what Ceph does, on purpose.
#[test]
fn lists_that_ceph_reads_otherwise() {
    // Port 0 stays with Ceph, and nothing is there.
    assert_eq!(
        shown(&parse("[v2:1.2.3.4,v1:1.2.3.4]").unwrap()),
        "noname-a [v2:1.2.3.4:3300/0,v1:1.2.3.4:6789/0]"
    );
    // Ceph goes to port 34463.
    let e = parse("1.2.3.4:99999").unwrap_err();
    assert_eq!(e.to_string(), "mon host: \"1.2.3.4:99999\": a port is at most 65535");
    // Ceph has no monitors then and asks DNS.
    assert!(parse("-").is_err());
    // Ceph looks up the service's port.
    assert!(parse("localhost:ssh").is_err());
    // "server name not found: [v2:1.2.3.4:3300".
    assert_eq!(
        shown(&parse("[v2:1.1.1.1:1,v1:1.1.1.1:2] localhost").unwrap()),
        "noname-a [v2:1.1.1.1:1/0,v1:1.1.1.1:2/0], noname-b localhost port 0"
    );
}

#[test]
fn lists_that_are_wrong() {
    // "server name not found" or "unable to parse addrs" from Ceph.
    for bad in [
        "v1:localhost",
        "v2:localhost:3300",
        "[v2:localhost:3300,v1:localhost:6789]",
        "[v2:1.2.3.4:3300, v1:1.2.3.4:6789]",
        "[v1:1.2.3.4:5",
        "[v1:1.2.3.4:5,",
        "[]",
        "1.2.3.4:x",
        "1.2.3.4:-5",
        "1.2.3.4/x",
        "1.2.3.4=5",
        "localhost/3",
        "::ffff:1.2.3.4",
        "v1:1.2.3.4/99999999999",
    ] {
        assert!(matches!(parse(bad), Err(ConfigError::BadMonHost { .. })), "{bad}");
    }
}

#[test]
fn every_truncation_is_read_or_refused() {
    let list = "[v2:1.2.3.4:3300/0,v1:[::1]:6789/1],any:1.2.3.4;höst:66 v1:[1.2.3.4]:9/8,,[x]:1";
    for (at, _) in list.char_indices() {
        let _ = parse(&list[..at]);
        let _ = parse(&list[at..]);
    }
}

#[test]
fn a_host_name_becomes_what_its_addresses_are() {
    // localhost:77 logged v2:127.0.0.1:77 and v1:127.0.0.1:77, localhost:6789 only the v1 one.
    let ips = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
    let resolved = |list| shown(&parse(list).unwrap()[0].resolved(&ips));
    assert_eq!(
        resolved("localhost:6789"),
        "noname-a-legacy v1:127.0.0.1:6789/0, noname-a1-legacy v1:[::1]:6789/0"
    );
    assert_eq!(
        resolved("localhost:77"),
        "noname-a v2:127.0.0.1:77/0, noname-a-legacy v1:127.0.0.1:77/0, \
         noname-a1 v2:[::1]:77/0, noname-a1-legacy v1:[::1]:77/0"
    );
    assert_eq!(resolved("v1:1.1.1.1"), "noname-a v1:1.1.1.1:6789/0");
}
