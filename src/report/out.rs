//! Where bytes go: the process' own streams, or a buffer in tests.
//!
//! May depend on nothing. One reason: a closed pipe is normal (`monopg … | head`) and must end
//! neither the run nor the program.

use std::io::{self, Write};
use std::os::fd::AsFd;

/// A stream that may have lost its reader.
pub(crate) struct Out {
    to: Option<Box<dyn Write + Send>>,
    /// The first failure other than a closed pipe, as a full disk.
    pub failure: Option<io::Error>,
}

impl Out {
    #[cfg(test)]
    pub fn new(to: impl Write + Send + 'static) -> Self {
        Out {
            to: Some(Box::new(to)),
            failure: None,
        }
    }

    /// A stream of this process, unbuffered, through a descriptor of its own: the standard library's
    /// handle has a lock that a panicking thread may hold. A stream that is not open swallows all.
    pub fn of(fd: impl AsFd) -> Self {
        Out {
            to: fd
                .as_fd()
                .try_clone_to_owned()
                .ok()
                .map(|fd| Box::new(std::fs::File::from(fd)) as Box<dyn Write + Send>),
            failure: None,
        }
    }

    /// Writes all, or gives the stream up.
    pub fn write(&mut self, bytes: &[u8]) {
        let Some(to) = self.to.as_mut() else { return };
        if let Err(error) = to.write_all(bytes).and_then(|()| to.flush()) {
            self.to = None;
            if error.kind() != io::ErrorKind::BrokenPipe {
                self.failure = Some(error);
            }
        }
    }

    /// One line in one write, so that lines of several processes do not mix.
    pub fn line(&mut self, line: &str) {
        let mut bytes = Vec::with_capacity(line.len() + 1);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
        self.write(&bytes);
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    /// A buffer that can be read while it is written.
    #[derive(Clone, Default)]
    pub struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(buf);
            Ok(buf.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A stream that fails.
    pub struct Broken(pub io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Broken, Shared};
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is() {
        let mut out = Out::new(Broken(io::ErrorKind::BrokenPipe));
        out.line("a");
        out.line("b");
        assert!(out.failure.is_none() && out.to.is_none());
        let mut out = Out::new(Broken(io::ErrorKind::StorageFull));
        out.line("a");
        assert_eq!(
            out.failure.map(|e| e.kind()),
            Some(io::ErrorKind::StorageFull)
        );
    }

    #[test]
    fn a_real_pipe_without_a_reader_is_given_up() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut out = Out::of(&writer);
        out.line("a");
        assert!(out.failure.is_none() && out.to.is_none());
    }

    #[test]
    fn lines_arrive() {
        let seen = Shared::default();
        let mut out = Out::new(seen.clone());
        out.line("a");
        out.line("b");
        assert_eq!(seen.text(), "a\nb\n");
    }
}
