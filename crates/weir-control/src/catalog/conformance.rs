//! What every catalog does. `open` opens the same catalog anew each time; the one before is dropped first.

use crate::catalog::{Catalog, Change, Check, Op, SharedCatalog, TxnOutcome, WatchEvent};
use std::sync::Arc;

async fn txn(catalog: &SharedCatalog, checks: Vec<Check>, ops: Vec<Op>) -> TxnOutcome {
    catalog.txn(checks, ops).await.expect("a transaction is answered")
}

async fn put(catalog: &SharedCatalog, key: &str, value: &str) -> u64 {
    match txn(catalog, vec![], vec![Op::Put(key.into(), value.into())]).await {
        TxnOutcome::Committed(version) => version,
        TxnOutcome::Conflict(key) => panic!("a put without checks cannot conflict, {key} did"),
    }
}

async fn value(catalog: &SharedCatalog, key: &str) -> Option<String> {
    let entry = catalog.get(key).await.expect("a read is answered")?;
    Some(String::from_utf8(entry.value).expect("what was put is text"))
}

async fn keys(catalog: &SharedCatalog, prefix: &str) -> Vec<String> {
    let found = catalog.list(prefix).await.expect("a list is answered");
    found.into_iter().map(|(key, _)| key).collect()
}

/// Runs the suite on an empty catalog.
pub async fn conformance<C: Catalog>(open: &mut dyn FnMut() -> C) {
    let catalog: SharedCatalog = Arc::new(open());
    versions_and_order(&catalog).await;
    checks_hold_together(&catalog).await;
    races_have_one_winner(&catalog).await;
    watches_hear(&catalog).await;
    let before = catalog.list("").await.expect("a list is answered");
    assert!(!before.is_empty());
    drop(catalog);
    let catalog: SharedCatalog = Arc::new(open());
    assert_eq!(catalog.list("").await.expect("a list is answered"), before, "reopening keeps all");
    let newest = before.iter().map(|(_, entry)| entry.version).max().expect("it is not empty");
    assert!(put(&catalog, "z/later", "1").await > newest, "versions grow on after reopening");
}

async fn versions_and_order(catalog: &SharedCatalog) {
    assert_eq!(value(catalog, "t/a").await, None);
    let first = put(catalog, "t/a", "1").await;
    let second = put(catalog, "t/a", "2").await;
    assert!(second > first, "versions grow");
    assert_eq!(value(catalog, "t/a").await.as_deref(), Some("2"));
    for key in ["t/c", "t/b", "t", "u/a", "t/a/b", "t-"] {
        put(catalog, key, "x").await;
    }
    assert_eq!(keys(catalog, "t/").await, ["t/a", "t/a/b", "t/b", "t/c"], "byte order, this prefix only");
    assert!(keys(catalog, "nothing/").await.is_empty());

    let gone = txn(catalog, vec![], vec![Op::Delete("t/c".into()), Op::Delete("never/there".into())]).await;
    assert!(matches!(gone, TxnOutcome::Committed(_)), "removing what is absent is fine");
    let third = put(catalog, "t/c", "again").await;
    assert!(third > second, "a key made again has a version it never had");
}

async fn checks_hold_together(catalog: &SharedCatalog) {
    let (a, b) = (put(catalog, "k/a", "1").await, put(catalog, "k/b", "1").await);
    let ops = || vec![Op::Put("k/c".into(), b"1".to_vec()), Op::Delete("k/b".into())];
    let stale = txn(catalog, vec![Check::at("k/a", a), Check::at("k/b", b + 1000), Check::absent("k/c")], ops()).await;
    assert_eq!(stale, TxnOutcome::Conflict("k/b".into()), "the conflict names the key");
    assert_eq!(value(catalog, "k/c").await, None, "a conflict changes nothing");
    let there = txn(catalog, vec![Check::absent("k/a")], ops()).await;
    assert_eq!(there, TxnOutcome::Conflict("k/a".into()));
    let done = txn(catalog, vec![Check::at("k/a", a), Check::at("k/b", b), Check::absent("k/c")], ops()).await;
    let TxnOutcome::Committed(version) = done else { panic!("all checks hold, {done:?}") };
    let entry = catalog.get("k/c").await.expect("a read is answered").expect("it was put");
    assert_eq!(entry.version, version, "a put carries its transaction's version");
    assert_eq!(value(catalog, "k/b").await, None);
    let missing = txn(catalog, vec![Check::at("k/b", b)], ops()).await;
    assert_eq!(missing, TxnOutcome::Conflict("k/b".into()), "a removed key is at no version");
}

async fn races_have_one_winner(catalog: &SharedCatalog) {
    let racers = (0..50).map(|racer| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            let ops = vec![Op::Put("r/winner".into(), format!("{racer}").into_bytes())];
            matches!(txn(&catalog, vec![Check::absent("r/winner")], ops).await, TxnOutcome::Committed(_))
        })
    });
    let mut won = vec![];
    for (racer, outcome) in racers.collect::<Vec<_>>().into_iter().enumerate() {
        if outcome.await.expect("a racer does not panic") {
            won.push(racer.to_string());
        }
    }
    assert_eq!(won.len(), 1, "one wins");
    assert_eq!(value(catalog, "r/winner").await, won.pop());
}

async fn watches_hear(catalog: &SharedCatalog) {
    let mut watch = catalog.watch("w/");
    put(catalog, "elsewhere", "x").await;
    let version = put(catalog, "w/a", "1").await;
    assert!(matches!(txn(catalog, vec![], vec![Op::Delete("w/a".into())]).await, TxnOutcome::Committed(_)));
    let Some(WatchEvent::Changed(Change { key, entry: Some(entry) })) = watch.next().await else {
        panic!("the put is heard first");
    };
    assert_eq!((key.as_str(), entry.value.as_slice(), entry.version), ("w/a", &b"1"[..], version));
    let removed = Change { key: "w/a".into(), entry: None };
    assert_eq!(watch.next().await, Some(WatchEvent::Changed(removed)));
    for at in 0..5000 {
        put(catalog, "w/busy", &at.to_string()).await;
    }
    assert_eq!(watch.next().await, Some(WatchEvent::Missed), "who listens too slowly is told so");
}
