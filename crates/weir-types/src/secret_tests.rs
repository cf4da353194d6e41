//! Secrets: what counts as one, how references are read and followed, and that nothing of them is seen.

use super::*;

fn follow(value: &str) -> Result<Resolved, Unresolved> {
    let variable = |name: &str| match name {
        "PW" => Some("hunter2".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let file = |path: &str| match path {
        "/run/pw" => Ok("hunter3\n".to_owned()),
        "/run/props" => Ok("# kafka\nuser = me\npw = hunter4\n".to_owned()),
        _ => Err("not found".to_owned()),
    };
    resolve(value, variable, file)
}

fn resolved(value: &str) -> Resolved {
    follow(value).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn keys_tell_whether_they_hold_a_secret() {
    for key in [
        "sasl.jaas.config",
        "ssl.key.password",
        "ssl.keystore.key",
        "ssl.key.pem",
        "stream.kafka.ssl.client.key",
        "secretKey",
        "accessKey",
        "access_key_id",
        "secret_access_key",
        "sasl.password",
        "stream.kafka.decoder.prop.schema.registry.basic.auth.user.info",
        "api-key",
        "token",
    ] {
        assert!(is_secret(key), "{key}");
    }
    for key in [
        "primaryKeyColumns",
        "key.deserializer",
        "ssl.key.location",
        "ssl.keystore.type",
        "stream.kafka.ssl.client.key.algorithm",
        "sasl.oauthbearer.token.endpoint.url",
        "stream.kafka.topic.name",
        "sasl.username",
        "stream.kafka.decoder.prop.schema.registry.basic.auth.credentials.source",
    ] {
        assert!(!is_secret(key), "{key}");
    }
}

#[test]
fn references_are_followed_whole_and_inside_a_text() {
    assert_eq!(resolved("env:PW").text, "hunter2");
    assert_eq!(resolved("file:/run/pw").text, "hunter3");
    assert_eq!(resolved("${env:PW}").text, "hunter2");
    assert_eq!(resolved("${file:/run/props:pw}").text, "hunter4");
    let jaas = resolved(r#"PlainLoginModule required username="u" password="${env:PW}";"#);
    assert_eq!(jaas.text, r#"PlainLoginModule required username="u" password="hunter2";"#);
    assert_eq!(jaas.looked_up, [("hunter2".to_owned(), "${env:PW}".to_owned())]);
    for plain in ["", "x", "$PW", "${PW}", "file:///etc/ca", "https://host:1/${x}", "a ${ b"] {
        assert_eq!(resolved(plain), Resolved { text: plain.into(), looked_up: vec![] });
        assert!(!has_references(plain), "{plain}");
    }
}

#[test]
fn what_cannot_be_followed_says_what_to_do() {
    for (value, says) in [
        ("env:NONE", "the variable NONE is not set on this node: set it"),
        ("env:EMPTY", "the variable EMPTY is empty"),
        ("env:", "needs the name of a variable"),
        ("env:A B", "needs the name of a variable"),
        ("file:/run/none", "cannot be read on this node (not found): put it there"),
        ("${file:/run/props:none}", "has no line none=VALUE"),
        ("${file:run/pw}", "needs a path from the root on"),
        ("${vault:a/b}", "is not looked up: env:NAME"),
    ] {
        let error = follow(value).err().unwrap_or_else(|| panic!("{value} is followed"));
        assert!(error.reason.contains(says), "{error}");
        assert_eq!(error.reference, value);
        assert!(has_references(value));
    }
}

#[test]
fn references_are_shown_and_secrets_are_not() {
    assert_eq!(shown("sasl.password", "hunter2"), HIDDEN);
    assert_eq!(shown("sasl.password", ""), HIDDEN);
    assert_eq!(shown("sasl.password", "env:PW"), "env:PW");
    assert_eq!(shown("sasl.password", "${file:/run/pw}"), "${file:/run/pw}");
    assert_eq!(shown("sasl.password", "hunter${env:PW}"), HIDDEN);
    assert_eq!(shown("sasl.password", "${vault:x}"), HIDDEN);
    assert_eq!(shown("client.id", "hunter2"), "hunter2");
    let jaas = |user: &str, password: &str| format!(r#"Plain required username="{user}" password="{password}";"#);
    assert_eq!(shown("sasl.jaas.config", &jaas("u", "hunter2")), HIDDEN);
    assert_eq!(shown("sasl.jaas.config", &jaas("u", "${env:PW}")), jaas("u", "${env:PW}"));
    assert_eq!(shown("sasl.jaas.config", &jaas("${env:U}", r#"hun\"ter2"#)), jaas("${env:U}", HIDDEN));
    assert_eq!(shown("url", "http://me:hunter2@host:1/x"), "http://*****@host:1/x");
    assert_eq!(shown("url", "a://h/x@y,b://me:hunter2@i"), "a://h/x@y,b://*****@i");
}

#[test]
fn texts_of_others_lose_the_secrets() {
    let mut hiding = Hiding::default();
    for (key, value) in [
        ("client.id", "plain"),
        ("sasl.password", "hunter9"),
        ("ssl.key.password", "env:PW"),
        ("ssl.ca.location", "file:/run/pw"),
        ("sasl.jaas.config", r#"x username="user" password="hunter7";"#),
    ] {
        hiding.add(key, value, &resolved(value));
    }
    let said = hiding.hide("no hunter9, hunter2, hunter3 or hunter7 for user on plain");
    assert_eq!(said, "no *****, env:PW, file:/run/pw or ***** for user on plain");
    assert!(!format!("{hiding:?}").contains("hunter"));
}
