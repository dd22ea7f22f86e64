//! `ProxyJump`: the hosts on the way.
//!
//! May depend on the values' ports. One reason: each hop is a host of its own, with its own configuration and
//! host key, and must not stay a piece of text.
//!
//! Rules: ssh_config(5) "ProxyJump"; OpenSSH's `parse_jump`, `parse_ssh_uri`, `parse_user_host_port`.

use super::values::port;

/// More hosts than this in one way are a mistake.
const MOST: usize = 8;

/// One host on the way, as it is written; its own configuration fills the gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The login.
    pub user: Option<String>,
    /// The name, an alias of `ssh_config` too.
    pub host: String,
    /// The TCP port.
    pub port: Option<u16>,
}

/// Reads a list in the order in which the hosts are visited. `None` for `none`.
pub fn parse(text: &str) -> Result<Option<Vec<Hop>>, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let text = text.split('#').next().unwrap_or_default().trim_end();
    let hops: Vec<Hop> = text.split(',').map(hop).collect::<Result<_, _>>()?;
    if hops.len() > MOST {
        return Err(format!("names more than {MOST} hosts"));
    }
    Ok(Some(hops))
}

/// What stands in place of a host: `host`, `user@host` or a URI. A colon does not separate a port here.
pub fn destination(text: &str) -> Result<Hop, String> {
    if text.starts_with("ssh://") {
        return hop(text);
    }
    let (user, host) = match text.rsplit_once('@') {
        Some(("", _)) => return Err(format!("{text:?} lacks a login before the @")),
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, text),
    };
    Ok(Hop {
        user,
        host: host.to_owned(),
        port: None,
    })
}

fn hop(text: &str) -> Result<Hop, String> {
    let wrong = || format!("takes [user@]host[:port], not {text:?}");
    let (uri, rest) = match text.strip_prefix("ssh://") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let at = if uri { rest.find('@') } else { rest.rfind('@') };
    let (user, rest) = match at {
        Some(at) => {
            let (user, rest) = rest.split_at(at);
            let user = if uri {
                decoded(user)
            } else {
                Some(user.into())
            };
            let user = user.filter(|u: &String| !u.is_empty()).ok_or_else(wrong)?;
            (Some(user), rest.strip_prefix('@').unwrap_or(rest))
        }
        None => (None, rest),
    };
    let (host, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']').ok_or_else(wrong)?,
        None => rest.split_at(rest.find([':', '/']).unwrap_or(rest.len())),
    };
    let mut rest = rest;
    if uri {
        // A path makes no sense, but an empty one is often written.
        rest = rest.strip_suffix('/').unwrap_or(rest);
    }
    let number = match rest.strip_prefix(':') {
        Some("") => None,
        Some(number) => Some(port(number).ok_or_else(wrong)?),
        None if rest.is_empty() => None,
        None => return Err(wrong()),
    };
    if !valid_host(host) {
        return Err(wrong());
    }
    Ok(Hop {
        user,
        host: host.to_owned(),
        port: number,
    })
}

/// The login of a URI: `%40` and the like, and no parameters.
fn decoded(user: &str) -> Option<String> {
    let user = user.split(';').next().unwrap_or_default();
    let mut bytes = Vec::new();
    let mut rest = user.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok().filter(|v| *v != 0)?);
    }
    String::from_utf8(bytes).ok()
}

/// OpenSSH's rule for what may be a host: nothing that a shell or an option parser takes for its own.
pub fn valid_host(host: &str) -> bool {
    !host.is_empty()
        && host.len() <= 1024
        && !host.starts_with('-')
        && !host
            .chars()
            .any(|c| "'`\"$\\;&<>|(){},".contains(c) || c.is_ascii_whitespace() || c.is_control())
}

/// OpenSSH's rule for logins.
pub fn valid_user(user: &str) -> bool {
    let after_blank_dash = user
        .as_bytes()
        .windows(2)
        .any(|w| matches!(w, [blank, b'-'] if blank.is_ascii_whitespace()));
    !user.is_empty()
        && !user.starts_with('-')
        && !user.ends_with('\\')
        && !after_blank_dash
        && !user
            .chars()
            .any(|c| "'`\";&<>|(){}".contains(c) || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(None) => "none".into(),
            Ok(Some(hops)) => hops
                .iter()
                .map(|h| format!("{:?} {} {:?}", h.user, h.host, h.port))
                .collect::<Vec<_>>()
                .join("; ")
                .replace("None", "-")
                .replace("Some(", "")
                .replace([')', '"'], ""),
            Err(error) => format!("!{error}"),
        }
    }

    #[test]
    fn jumps_are_read_as_openssh_does() {
        for (text, expected) in [
            ("none", "none"),
            ("NONE", "none"),
            ("bastion", "- bastion -"),
            ("a@j1:2201,j2", "a j1 2201; - j2 -"),
            ("a@b@c", "a@b c -"),
            ("[::1]:22", "- ::1 22"),
            ("u@[::1]", "u ::1 -"),
            ("ssh://u%40x@j:2/", "u@x j 2"),
            ("ssh://u;x=1@j", "u j -"),
            ("j # comment", "- j -"),
            ("j:", "- j -"),
            ("%h.bastion", "- %h.bastion -"),
            ("", "!takes [user@]host[:port], not \"\""),
            ("a,,b", "!takes [user@]host[:port], not \"\""),
            ("@j", "!takes [user@]host[:port], not \"@j\""),
            ("j:x", "!takes [user@]host[:port], not \"j:x\""),
            ("j:0", "!takes [user@]host[:port], not \"j:0\""),
            (
                "-oProxyCommand=x",
                "!takes [user@]host[:port], not \"-oProxyCommand=x\"",
            ),
            ("a;b", "!takes [user@]host[:port], not \"a;b\""),
            (
                "ssh://j/path",
                "!takes [user@]host[:port], not \"ssh://j/path\"",
            ),
            ("a,b,c,d,e,f,g,h,i", "!names more than 8 hosts"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn logins_are_judged_as_openssh_does() {
        for good in ["ops", "DOM\\user", "a b", "x%y", "$"] {
            assert!(valid_user(good), "{good}");
        }
        for bad in ["", "-x", "a -b", "a;b", "a\nb", "a\\"] {
            assert!(!valid_user(bad), "{bad}");
        }
    }
}
