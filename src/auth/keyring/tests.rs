use super::*;

const A: &str = "AQBhqPVlsbC9BRAABBsnPfDXfpQvZRu6WLTbcw==";
const B: &str = "AQAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==";

fn name(s: &str) -> EntityName {
    s.parse().unwrap()
}

/// What `ceph-authtool FILE -l` of 16.2.15 printed for each.
#[test]
fn keyrings_as_ceph_authtool_lists_them() {
    for (text, listed) in [
        (
            format!("[client.admin]\n\tkey = {A}\n\tcaps mon = \"allow *\"\n"),
            format!("[client.admin]\n\tkey = {A}\n\tcaps mon = \"allow *\"\n"),
        ),
        (
            format!(
                "[client.a]\r\nkey = '{A}'\r\n caps mon = allow *\r\n caps_osd=allow rw, allow class-read\r\nauid = 0\r\n"
            ),
            format!(
                "[client.a]\n\tkey = {A}\n\tcaps mon = \"allow *\"\n\tcaps osd = \"allow rw, allow class-read\"\n"
            ),
        ),
        (
            format!("[client.a]\nkey={A}\n[client.a]\nkey={B}\ncaps mon=q\n"),
            format!("[client.a]\n\tkey = {B}\n\tcaps mon = \"q\"\n"),
        ),
        (
            "[client.a]\nkey=AQBhqPVlsbC9BRAABBsnPfDX\\\nfpQvZRu6WLTbcw==\n".to_owned(),
            format!("[client.a]\n\tkey = {A}\n"),
        ),
        (
            format!("[client.a b]\nkey={A}\n[global]\nfoo=bar\n"),
            format!("[client.a b]\n\tkey = {A}\n"),
        ),
        (
            "[client.a]\nkey=AAAAAAAAAAAAAAAA\n".to_owned(),
            "[client.a]\n\tkey = AAAAAAAAAAAAAAAA\n".to_owned(),
        ),
        (String::new(), String::new()),
    ] {
        assert_eq!(*Keyring::parse(&text).unwrap().to_text(), listed, "{text:?}");
    }
}

#[test]
fn entities_in_order() {
    let sections = ["client.b", "client.a", "osd.2", "osd.10", "mgr.x", "mds.q", "mon.", "auth.z"];
    let text: String = sections.iter().map(|s| format!("[{s}]\nkey={A}\n")).collect();
    let keyring = Keyring::parse(&text).unwrap();
    let names: Vec<_> = keyring.names().map(EntityName::to_string).collect();
    assert_eq!(
        names,
        ["mon.", "mds.q", "osd.10", "osd.2", "client.a", "client.b", "mgr.x", "auth.z"]
    );
}

/// `ceph-authtool FILE -l`: "error reading file".
#[test]
fn keyrings_that_are_refused() {
    for (text, error) in [
        (format!("[foo.x]\nkey={A}\n"), "line 1: the section is not named as an entity is"),
        (format!("\n[client]\nkey={A}\n"), "line 2: the section is not named as an entity is"),
        ("[client.a]\nfoo=z\n".to_owned(), "line 2: [client.a] not a setting of a keyring"),
        ("[client.a]\ncaps: mds=z\n".to_owned(), "line 2: [client.a] not a setting of a keyring"),
        ("[client.a]\nkey=zz!\n".to_owned(), "line 2: [client.a] key: the key is not base64"),
        (
            "[client.a]\nkey=\n".to_owned(),
            "line 2: [client.a] key: CryptoKey at byte 0: the bytes end too early",
        ),
        (format!("[client.a]\nkey={A}"), "line 2: the last line must end in a newline"),
    ] {
        assert_eq!(Keyring::parse(&text).unwrap_err().to_string(), error);
    }
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated() {
    for text in [
        format!("[client.a]\n{A}\n"),
        format!("[client.a]\nkey {A}\n"),
        format!("[client.a]\nkey: {A}\n"),
        format!("[{A}]\n"),
    ] {
        let error = Keyring::parse(&text).unwrap_err();
        // A setting ends at the first `=`, and takes the rest of the key for its value.
        let key = A.trim_end_matches('=');
        assert!(!format!("{error} {error:?}").contains(key), "{error}");
    }
}

#[test]
fn keys_that_cannot_be_used() {
    // Type 99; Ceph refuses the whole file for one.
    let odd = "YwAAAAAAAAAAABAAAAAAAAAAAAAAAAAAAAAAAA==";
    let text = format!(
        "[client.a]\n\tkey = {A}\n[client.b]\n\tkey = {odd}\n[client.c]\n\tcaps mon = \"x\"\n[client.d]\n\tkey = AAAAAAAAAAAAAAAA\n"
    );
    let keyring = Keyring::parse(&text).unwrap();
    assert!(keyring.key(&name("client.a")).is_ok());
    let e = keyring.key(&name("client.b")).unwrap_err();
    assert_eq!(e.to_string(), "the key of client.b is of type 99, which is not supported");
    for none in ["client.c", "client.d", "client.e"] {
        assert!(matches!(keyring.key(&name(none)), Err(KeyringError::NoKey(_))), "{none}");
    }
    assert_eq!(keyring.get(&name("client.c")).unwrap().caps("mon"), Some("x"));
    assert_eq!(*keyring.to_text(), text);
}

#[test]
fn what_is_written_can_be_read() {
    let mut keyring = Keyring::new();
    let caps = "allow \"x\" #y ; z \\q";
    keyring.set_key(&name("client.a]#b"), A.parse().unwrap());
    keyring.set_caps(&name("client.a]#b"), "mon", caps);
    let text = keyring.to_text();
    // Listed by ceph-authtool with the same name and caps; what it writes itself for these caps,
    // it calls "error reading file".
    assert_eq!(
        *text,
        format!(
            "[client.a\\]\\#b]\n\tkey = {A}\n\tcaps mon = \"allow \\\"x\\\" \\#y \\; z \\\\q\"\n"
        )
    );
    let read = Keyring::parse(&text).unwrap();
    assert_eq!(read.get(&name("client.a]#b")).unwrap().caps("mon"), Some(caps));
}

/// `ceph-authtool -l` of 16.2.15 lists the first two services as `  ` and ` mon`, in a form that it
/// does not read as the same.
#[test]
fn a_service_of_blanks_is_written_so_that_it_can_be_read() {
    let keyring = Keyring::parse("[client.a]\ncaps___ = x\ncaps__mon = y\ncaps a b = z\n").unwrap();
    let again = Keyring::parse(&keyring.to_text()).unwrap();
    for (service, caps) in [("  ", "x"), (" mon", "y"), ("a b", "z")] {
        assert_eq!(keyring.get(&name("client.a")).unwrap().caps(service), Some(caps));
        assert_eq!(again.get(&name("client.a")).unwrap().caps(service), Some(caps), "{service:?}");
    }
    assert_eq!(*again.to_text(), *keyring.to_text());
}

#[test]
fn debug_hides_keys() {
    let text =
        format!("[client.a]\nkey={A}\n[client.b]\nkey=YwAAAAAAAAAAABAA{}==\n", "A".repeat(22));
    let shown = format!("{:?}", Keyring::parse(&text).unwrap());
    assert!(shown.contains("aes") && shown.contains("type 99"));
    assert!(!shown.contains("AQBh") && !shown.contains("YwAA"), "{shown}");
    // Nor do errors.
    let e = Keyring::parse("[client.a]\nkey=geheim!\n").unwrap_err();
    assert!(!format!("{e} {e:?}").contains("geheim"));
}

#[test]
fn every_truncation_is_read_or_refused() {
    let text =
        format!("[client.a]\n\tkey = {A}\n\tcaps mon = \"allow \\\"x\\\"\"\n[osd.1]\nauid=1\n");
    for n in 0..text.len() {
        let _ = Keyring::parse(&text[..n]);
    }
}
