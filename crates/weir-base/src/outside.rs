//! What the machine tells a process beside its settings: variables of the environment and small text files.

use std::{fs::File, io::Read};

/// Most bytes of a file that is read here: a chain of certificates has some ten thousand.
const MOST_BYTES: u64 = 1 << 20;

/// A variable of the environment, where it is set and text.
#[must_use]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The text of a small file, or why it cannot be read. Waits for the disk.
pub fn text_file(path: &str) -> Result<String, String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text));
    match read {
        Ok(bytes) if bytes as u64 > MOST_BYTES => Err(format!("it has more than {MOST_BYTES} bytes")),
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string().to_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_are_read_and_others_say_why_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pw");
        let shown = path.to_str().unwrap();
        assert!(text_file(shown).unwrap_err().contains("no such file"));
        std::fs::write(&path, "x\n").unwrap();
        assert_eq!(text_file(shown).unwrap(), "x\n");
        std::fs::write(&path, vec![b'x'; MOST_BYTES as usize + 1]).unwrap();
        assert!(text_file(shown).unwrap_err().contains("more than"));
    }

    #[test]
    fn variables_are_read() {
        assert!(variable("PATH").is_some());
        assert_eq!(variable("WEIR_NO_SUCH_VARIABLE"), None);
    }
}
