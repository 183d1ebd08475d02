use super::*;

/// `(text, key, what ceph-conf 16.2.15 printed for ceph-conf -c FILE --lookup KEY)`; `None` where
/// it found nothing. Where Ceph refused the whole file, see [`REFUSED`].
pub(super) const ACCEPTED: &[(&str, &str, Option<&str>)] = &[
    // Comments, which begin anywhere.
    ("[global]\nfoo = a#b\n", "foo", Some("a")),
    ("[global]\nfoo = a # c \\\nbar = 2\n", "foo", Some("a")),
    ("[global]\nfoo = a # c \\\nbar = 2\n", "bar", Some("2")),
    ("[global]\nfoo = # c\nbar=1\n", "foo", Some("")),
    ("[global]\nfoo = ; \"x\"\nbar=1\n", "foo", Some("")),
    ("  # x\n\n;y\n[global] # z\n  \n  ;z\nbar=1\n   \n\n[client]\n", "bar", Some("1")),
    ("[global]\nq=1 # \u{e9}\n", "q", Some("1")),
    ("[global]\nfoo = 1\n# end", "foo", Some("1")),
    ("# only", "foo", None),
    // Escapes.
    ("[global]\nfoo = a\\#b\\;c\\\\d\\xe\n", "foo", Some("a#b;c\\dxe")),
    ("[global]\nfoo = \\\"x\\\"\n", "foo", Some("\"x\"")),
    ("[global]\nf\\=oo = 1\n", "f\\=oo", Some("1")),
    // Joined lines.
    ("[global]\nfoo = a \\\n   b # c\n", "foo", Some("a    b")),
    ("[global]\nfoo = 1 \\\nbar = 2\n", "foo", Some("1 bar = 2")),
    ("[global]\nfoo = 1 \\\n\nbar = 2\n", "foo", Some("1")),
    ("[global]\nfoo = \\\n 1\n", "foo", Some("1")),
    ("[global]\nfoo \\\n= 1\n", "foo", Some("1")),
    ("[global]\n\\\nfoo = 1\n", "foo", Some("1")),
    ("[global]\nfo\\\no = 1\n", "foo", None),
    ("[global]\nfoo = a \\\n # y\nbar=1\n", "foo", Some("a")),
    // Quotes, which keep no blanks.
    ("[global]\nfoo = \"  a  \" # x\n", "foo", Some("a")),
    ("[global]\nfoo = \"a\\;b\\\"c\"\n", "foo", Some("a;b\"c")),
    ("[global]\nfoo = 'a \"x\" b'\n", "foo", Some("a \"x\" b")),
    ("[global]\nfoo = a\"b\"c\n", "foo", Some("a\"b\"c")),
    // Values.
    ("[global]\nfoo =\nbar=1\n", "foo", Some("")),
    ("[global]\nfoo = a=b=c\n", "foo", Some("a=b=c")),
    ("[global]\nfoo = 1 [x]\n", "foo", Some("1 [x]")),
    ("[global]\n\tfoo bar = x\ty  z\t\n", "foo_bar", Some("x\ty  z")),
    // Keys.
    ("[global]\nmon   host = 1\n", "mon host", Some("1")),
    ("[global]\nmon_host = 1\n", " mon  host ", Some("1")),
    ("[global]\nmon-host = 1\n", "mon_host", None),
    ("[global]\nmon-host = 1\n", "mon-host", Some("1")),
    ("[global]\n  Foo = 1\n\tfoo\t=\t2\n", "foo", Some("2")),
    ("[global]\nfoo=1\n", "FOO", None),
    ("[global]\nf]oo\"x = 1\n", "f]oo\"x", Some("1")),
    ("[global]\nmon host = 1\nmon_host = 2\n[global]\nmon host = 3\n", "mon_host", Some("3")),
    // Sections.
    ("[ global ]\nbar=1\n", "bar", None),
    ("[Global]\nfoo=1\n", "foo", None),
    // Files without a section, of one setting at most.
    ("foo = a b\n", "foo", Some("a b")),
    ("foo = 1\n\n# x\n", "foo", Some("1")),
    ("", "foo", None),
    ("\n\n", "foo", None),
    // Line ends.
    ("[global]\r\nfoo=bar\r\n", "foo", Some("bar")),
    ("[global]\r\nfoo = \"bar\"\r\n", "foo", Some("bar")),
    ("[global]\nfoo = a\rbar = b\r", "bar", Some("b")),
];

/// Files that ceph-conf 16.2.15 refused, with the line that it named.
pub(super) const REFUSED: &[(&str, u32, IniErrorKind)] = &[
    ("[global]\nfoo = \"a;b\"\n", 2, IniErrorKind::UnclosedQuote('"')),
    ("[global]\nfoo = \"a\nb\"\n", 2, IniErrorKind::UnclosedQuote('"')),
    ("[global]\nfoo = \"a\\\nb\"\n", 2, IniErrorKind::UnclosedQuote('"')),
    ("[global]\nfoo = \"a\" b\n", 2, IniErrorKind::TextAfterEnd),
    ("[global]\nfoo = \"x\" \\\n # y\nbar=1\n", 2, IniErrorKind::TextAfterEnd),
    ("[global]\nfoo\nbar=1\n", 2, IniErrorKind::NotASetting),
    ("[global]\n = 1\nbar=1\n", 2, IniErrorKind::NotASetting),
    ("[global]\nf#x\no = 1\n", 2, IniErrorKind::NotASetting),
    ("[global]\nfoo = a \\\n # y \\\n z\nbar=1\n", 4, IniErrorKind::NotASetting),
    ("foo = a b\n[global]\nbar=1\n", 2, IniErrorKind::NotASetting),
    ("\n\nfoo = 1\n", 3, IniErrorKind::NotASetting),
    ("# c\nfoo = 1\n", 2, IniErrorKind::NotASetting),
    (" [global]\nbar=1\n", 1, IniErrorKind::NotASetting),
    ("  \n[global]\nbar=1\n", 1, IniErrorKind::NotASetting),
    ("[global] foo=1\n", 1, IniErrorKind::TextAfterEnd),
    ("[]\nbar=1\n", 1, IniErrorKind::EmptyHeading),
    ("[global\nbar=1\n", 1, IniErrorKind::UnclosedHeading),
    ("[global]\nbar=1", 2, IniErrorKind::NoNewlineAtEnd),
    ("[global]", 1, IniErrorKind::NoNewlineAtEnd),
    ("foo = 1", 1, IniErrorKind::NoNewlineAtEnd),
    ("[global]\nfoo = 1\\", 2, IniErrorKind::NoNewlineAtEnd),
    ("[global]\nfoo = 1\n   ", 3, IniErrorKind::NoNewlineAtEnd),
];

#[test]
fn values_as_ceph_conf_prints_them() {
    for &(text, key, value) in ACCEPTED {
        let ini = Ini::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        let got = ini.get("global", key).map(|value| value.text.as_str());
        assert_eq!(got, value, "{text:?}");
    }
}

#[test]
fn files_that_ceph_refuses() {
    for &(text, line, kind) in REFUSED {
        assert_eq!(Ini::parse(text), Err(IniError { line, kind }), "{text:?}");
    }
    // ceph-conf of Debian aborts on an assertion of boost here, one without it would say that
    // line 1 is nothing.
    let kind = IniErrorKind::ByteOrderMark;
    assert_eq!(Ini::parse("\u{feff}[global]\nfoo=1\n"), Err(IniError { line: 1, kind }));
}

#[test]
fn section_names() {
    // ceph-conf -s 'glo]bal' --lookup bar, -s 'client.a b': 1.
    let ini = Ini::parse("[glo\\]bal]\nbar=1\n[client.a b]\nbar=1\n").unwrap();
    let names: Vec<_> = ini.sections().map(|(name, section)| (name, section.line)).collect();
    assert_eq!(names, [("client.a b", 3), ("glo]bal", 1)]);
}

#[test]
fn lines() {
    let ini = Ini::parse("# c\r\n\r\n[a]\r\nx = \\\r\n 1\r\ny=2\r\n").unwrap();
    assert_eq!(ini.get("a", "x").unwrap().line, 5);
    assert_eq!(ini.get("a", "y").unwrap().line, 6);
    let ini = Ini::parse("[a]\nx=1\r\ry=2\n").unwrap();
    assert_eq!(ini.get("a", "y").unwrap().line, 4);
}

#[test]
fn every_truncation_is_read_or_refused() {
    let text = ACCEPTED.iter().map(|(text, ..)| *text).collect::<String>()
        + &REFUSED.iter().map(|(text, ..)| *text).collect::<String>();
    for (at, _) in text.char_indices() {
        let _ = Ini::parse(&text[..at]);
        let _ = Ini::parse(&text[at..]);
    }
}

#[test]
fn time_does_not_grow_with_the_square() {
    // With a square in it this would take minutes.
    for unit in [" ", "\t x", "\\\n", "#\n", "[a]\n", "x=1\n", "x ", "\"", "\n"] {
        let head = "[global]\nfoo = ";
        let _ = Ini::parse(&format!("{head}{}", unit.repeat(50_000)));
        let _ = Ini::parse(&unit.repeat(50_000));
        let _ = Ini::parse(&format!("[global]\n{}", unit.repeat(50_000)));
    }
}

#[test]
fn debug_hides_values() {
    let ini = Ini::parse("[global]\nkey = geheim\n").unwrap();
    assert!(!format!("{ini:?}").contains("geheim"));
}

#[test]
fn files_are_bounded_and_their_errors_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.conf");
    std::fs::write(&path, b"[global]\r\nq=\xff\n").unwrap();
    // "parse error: invalid UTF-8 found at line 2".
    let e = Ini::read(&path).unwrap_err();
    assert_eq!(e.to_string(), format!("{}: line 2: not UTF-8", path.display()));
    std::fs::write(&path, vec![b'\n'; crate::limits::MAX_CONFIG_LEN as usize + 1]).unwrap();
    assert!(matches!(Ini::read(&path), Err(FileError::TooLong { path: p }) if p == path));
    assert!(matches!(Ini::read(dir.path()), Err(FileError::Read { .. })));
    assert_eq!(Ini::read(Path::new("/dev/null")).unwrap(), Ini::default());
    // A file that never ends and says nothing of its length.
    assert!(matches!(Ini::read(Path::new("/dev/zero")), Err(FileError::TooLong { .. })));
}
