//! What ssh says about itself (`-E`), apart from what the far side says on standard error.
//!
//! May depend on the marker's cleaning of texts. One reason: the exit status 255 alone tells nothing, and the
//! remote command must not be able to forge a reason.

use std::collections::VecDeque;

use crate::host::marker;

/// Lines kept from the beginning: the whole login, with every identity of a large agent.
const FIRST: usize = 500;
/// Lines kept from the end.
const LAST: usize = 40;
/// A longer line is cut: ssh's own are short.
const LINE: usize = 2000;
/// ssh says so for each packet, also for the answer to a keepalive.
const PACKET: &str = "debug3: receive packet: ";

/// The lines of ssh's log, without line ends and control characters; bounded.
#[derive(Debug, Default)]
pub struct Log {
    first: Vec<String>,
    last: VecDeque<String>,
    part: Vec<u8>,
    authenticated: bool,
}

impl Log {
    /// Takes more of it; true if by that the server was heard.
    pub fn push(&mut self, bytes: &[u8]) -> bool {
        let mut heard = false;
        for &byte in bytes {
            if byte != b'\n' {
                if self.part.len() < LINE {
                    self.part.push(byte);
                }
                continue;
            }
            let line = marker::clean(&self.part);
            self.part.clear();
            if is_detail(&line) {
                heard |= line.starts_with(PACKET);
                continue;
            }
            self.authenticated |= line.starts_with("Authenticated to ");
            if self.first.len() < FIRST {
                self.first.push(line);
                continue;
            }
            if self.last.len() == LAST {
                self.last.pop_front();
            }
            self.last.push_back(line);
        }
        heard
    }

    /// True once ssh has said that the server let us in.
    pub fn authenticated(&self) -> bool {
        self.authenticated
    }

    /// All lines that were kept.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.first.iter().chain(&self.last).map(String::as_str)
    }

    /// What follows `start` in the last line that begins with it.
    pub fn after(&self, start: &str) -> Option<&str> {
        self.lines().rev().find_map(|line| line.strip_prefix(start))
    }

    /// Lines for people: no debugging, no statistics.
    pub fn words(&self) -> impl DoubleEndedIterator<Item = &str> {
        const NOISE: &[&str] = &[
            "debug1: ",
            "Authenticated to ",
            "Transferred: ",
            "Bytes per second: ",
            "@",
            "OpenSSH_",
        ];
        self.lines()
            .filter(|l| !l.trim().is_empty() && !NOISE.iter().any(|n| l.starts_with(n)))
    }
}

/// True for what ssh says below its first level of debugging: nothing of it tells people anything.
pub fn is_detail(line: &str) -> bool {
    line.starts_with("debug2: ") || line.starts_with("debug3: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_clean_and_bounded() {
        let mut log = Log::default();
        log.push(b"debug1: one\r\nAuthenti");
        assert!(!log.authenticated());
        log.push(b"cated to h ([::1]:22) using \"publickey\".\r\n\x1b[2Jtwo\n");
        assert!(log.authenticated());
        assert_eq!(log.words().collect::<Vec<_>>(), ["[2Jtwo"]);
        assert_eq!(log.after("debug1: "), Some("one"));
        for n in 0..10_000 {
            log.push(format!("{n}{}\n", "x".repeat(10_000)).as_bytes());
        }
        assert_eq!(log.lines().count(), FIRST + LAST);
        assert!(log.lines().all(|l| l.len() <= LINE));
        assert!(log.lines().next_back().unwrap().starts_with("9999x"));
    }

    #[test]
    fn packets_are_signs_of_life_and_no_words() {
        let mut log = Log::default();
        assert!(
            !log.push(b"debug1: one\ndebug3: send packet: type 80\ndebug2: x\ndebug3: receive")
        );
        assert!(log.push(b" packet: type 82\r\n"));
        assert!(!log.push(b"debug1: Remote: debug3: receive packet: type 82\n"));
        assert_eq!(log.lines().count(), 2);
    }

    #[test]
    fn what_the_far_side_says_through_ssh_is_no_login() {
        let mut log = Log::default();
        log.push(b"debug1: Remote: Authenticated to h\n");
        assert!(!log.authenticated());
    }
}
