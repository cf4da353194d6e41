//! What every file system of the shelf must do; each member's tests call it on an empty root.

use crate::{FileError, ObjectInfo, Put, SharedFileSystem, probe};
use bytes::Bytes;
use futures::future::join_all;
use weir_types::{Classify, ErrorKind, Retry};

/// Runs the suite; it panics where the file system does not conform, and leaves nothing behind.
pub async fn conformance(files: SharedFileSystem) {
    assert!(keys(&files, "").await.is_empty(), "the root is empty at the start");
    objects_are_written_once(&files).await;
    absence_is_told(&files).await;
    listings_are_exact(&files).await;
    one_of_racing_writers_wins(&files).await;
    keys_are_safe(&files).await;
    probe(&*files).await.expect("the probe passes");
    assert!(keys(&files, "").await.is_empty(), "nothing is left behind");
}

async fn keys(files: &SharedFileSystem, prefix: &str) -> Vec<String> {
    let found = files.list(prefix).await.expect("a listing works");
    found.into_iter().map(|object| object.key).collect()
}

async fn put(files: &SharedFileSystem, key: &str, content: impl Into<Bytes>) -> Put {
    files.put_if_absent(key, content.into()).await.unwrap_or_else(|error| panic!("a write of {key:?} works: {error}"))
}

async fn delete(files: &SharedFileSystem, key: &str) {
    files.delete(key).await.unwrap_or_else(|error| panic!("{key:?} can be deleted: {error}"));
}

async fn objects_are_written_once(files: &SharedFileSystem) {
    // Larger than one buffer of any client on the way.
    let large = Bytes::from((0..3_000_000_u32).map(|at| (at % 251) as u8).collect::<Vec<u8>>());
    for (key, content) in [("once/small", Bytes::from_static(b"first")), ("once/none", Bytes::new()), ("once/l", large)]
    {
        assert_eq!(put(files, key, content.clone()).await, Put::Created, "{key}");
        assert_eq!(put(files, key, "second").await, Put::Taken, "{key}");
        let mut bent = content.to_vec();
        if let Some(last) = bent.last_mut() {
            *last ^= 1;
            assert_eq!(put(files, key, bent).await, Put::Taken, "{key} of the same length");
        }
        assert_eq!(put(files, key, content.clone()).await, Put::AlreadyThere, "{key}");
        assert!(files.get(key).await.expect("it is there") == content, "{key} is as it was first written");
        assert!(files.uri(key).ends_with(key), "{} names {key}", files.uri(key));
        delete(files, key).await;
        assert_eq!(put(files, key, "third").await, Put::Created, "{key} after its deletion");
        assert_eq!(files.get(key).await.expect("it is there"), "third");
        delete(files, key).await;
    }
}

async fn absence_is_told(files: &SharedFileSystem) {
    put(files, "here/object", "x").await;
    for key in ["absent", "absent/deep/down", "here", "here/object/below"] {
        let error: FileError = files.get(key).await.expect_err("it is absent");
        assert_eq!((error.kind(), error.retry()), (ErrorKind::NotFound, Retry::Never), "{key}: {error}");
        assert!(error.to_string().contains(&files.uri(key)), "{error}");
        delete(files, key).await;
    }
    assert_eq!(keys(files, "").await, ["here/object"], "deleting what is absent deletes nothing else");
    delete(files, "here/object").await;
    delete(files, "here/object").await;
}

async fn listings_are_exact(files: &SharedFileSystem) {
    // By bytes: '-' < '.' < '/' < '0', so a folder's content does not stand beside the folder's name.
    let all = ["a-1", "a.x", "a/1", "a/2/x", "a/22", "a0", "b/z~[x]{y}", "b/ü 100%41+&="];
    for key in all.iter().rev() {
        put(files, key, key.repeat(3)).await;
    }
    assert_eq!(keys(files, "").await, all);
    for prefix in ["a", "a/", "a/2", "a/2/", "a-", "b/", "b/ü", "c", "a/1/", "/", "../", "a/1/none", "b/z~["] {
        let expected: Vec<&str> = all.iter().copied().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(keys(files, prefix).await, expected, "with prefix {prefix:?}");
    }
    let found: Vec<ObjectInfo> = files.list("a").await.expect("a listing works");
    for object in &found {
        assert_eq!(object.byte_count, object.key.len() as u64 * 3);
        assert!(object.modified_ms > 1_700_000_000_000, "{object:?} was written in our days");
    }
    for key in all {
        assert_eq!(files.get(key).await.expect("it is there"), key.repeat(3));
        delete(files, key).await;
    }
    assert!(keys(files, "").await.is_empty(), "what is deleted is not listed");
}

async fn one_of_racing_writers_wins(files: &SharedFileSystem) {
    for round in 0..10 {
        let key = format!("race/{round}");
        let writers = (0..8).map(|writer| {
            let (files, key) = (files.clone(), key.clone());
            tokio::spawn(async move { put(&files, &key, format!("writer {writer}").repeat(1000)).await })
        });
        let puts: Vec<Put> = join_all(writers).await.into_iter().map(|put| put.expect("no writer panics")).collect();
        let winners: Vec<usize> =
            puts.iter().enumerate().filter(|(_, put)| **put == Put::Created).map(|(writer, _)| writer).collect();
        assert_eq!(winners.len(), 1, "{puts:?}");
        let content = files.get(&key).await.expect("it is there");
        assert!(content == format!("writer {}", winners[0]).repeat(1000), "the winner's bytes are there, whole");
        delete(files, &key).await;
    }
}

async fn keys_are_safe(files: &SharedFileSystem) {
    for key in ["", "/etc/passwd", "../out", "a/../../out", "a//b", "a/", ".", "a\0b", "a\nb", "a.tmp"] {
        let wrote = files.put_if_absent(key, Bytes::from_static(b"x")).await.expect_err("it is refused");
        let read = files.get(key).await.expect_err("it is refused");
        let deleted = files.delete(key).await.expect_err("it is refused");
        for error in [wrote, read, deleted] {
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Invalid, Retry::Never), "{key:?}: {error}");
        }
    }
}
