//! Logging in with a password: given away once, to a question that asks for one.
//!
//! May depend on the login's state and `secrets`. One reason: a second try with the same value could only lock the
//! account, whichever method it went through.
//!
//! Rules: RFC 4256 (keyboard-interactive), OpenSSH's `auth-pam.c` (a last request without a question; a change of an
//! expired password asked for in the same dialogue).

use russh::MethodKind;
use russh::client::KeyboardInteractiveAuthResponse;

use super::auth::{Denied, Login};
use crate::host::HostError;
use crate::secrets::Secret;

/// More requests than this are no login dialogue.
const ROUNDS: usize = 8;

impl Login<'_> {
    /// The method `password`.
    pub async fn password(&mut self, password: &Secret) -> Result<bool, Denied> {
        if self.asked_password {
            return Ok(false);
        }
        if !self.offers(MethodKind::Password) {
            if !self.over {
                self.tried
                    .push("password: the server does not take one".into());
            }
            return Ok(false);
        }
        let Some(text) = self.text(password) else {
            return Ok(false);
        };
        // A server that has not yet said what it takes may never have looked at the password.
        let known = self.methods.is_some();
        let result = self.handle.authenticate_password(self.user, text).await?;
        let entered = self.accepted(result, "password");
        self.asked_password = known || self.offers(MethodKind::Password);
        Ok(entered)
    }

    /// The method `keyboard-interactive`, as PAM speaks it.
    pub async fn interactive(&mut self, password: &Secret) -> Result<bool, Denied> {
        if self.asked_password || !self.offers(MethodKind::KeyboardInteractive) {
            return Ok(false);
        }
        let Some(text) = self.text(password) else {
            return Ok(false);
        };
        let what = "password (keyboard-interactive)";
        let mut reply = self
            .handle
            .authenticate_keyboard_interactive_start(self.user, None::<String>)
            .await?;
        for _ in 0..ROUNDS {
            let (instructions, prompts) = match reply {
                KeyboardInteractiveAuthResponse::Success => return Ok(true),
                KeyboardInteractiveAuthResponse::Failure {
                    remaining_methods,
                    partial_success,
                } => {
                    // Many servers offer the method and have no question for it.
                    let what = self.asked_password.then_some(what);
                    self.refused(remaining_methods, partial_success, what);
                    return Ok(false);
                }
                KeyboardInteractiveAuthResponse::InfoRequest {
                    instructions,
                    prompts,
                    ..
                } => (instructions, prompts),
            };
            if self.asked_password
                && wants_change(&instructions, prompts.iter().map(|p| &*p.prompt))
            {
                return Err(Denied::Because(expired(self.user)));
            }
            let mut answers = Vec::new();
            for prompt in &prompts {
                if prompt.echo || self.asked_password {
                    // A second question is not for the password: a code, say, that we do not have.
                    answers.push(String::new());
                } else {
                    self.asked_password = true;
                    answers.push(text.to_owned());
                }
            }
            reply = self
                .handle
                .authenticate_keyboard_interactive_respond(answers)
                .await?;
        }
        self.tried
            .push(format!("{what}: the server asks without end"));
        Ok(false)
    }

    fn text<'p>(&mut self, password: &'p Secret) -> Option<&'p str> {
        let text = password.expose_str();
        if text.is_none() {
            self.asked_password = true;
            self.tried.push("password: skipped, not UTF-8".into());
        }
        text
    }
}

/// PAM's words when the password was right but has expired (Linux-PAM and shadow, in English; in another language
/// the dialogue ends as a refusal).
fn wants_change<'a>(instructions: &str, prompts: impl Iterator<Item = &'a str>) -> bool {
    let says = |text: &str, words: &[&str]| {
        let text = text.to_ascii_lowercase();
        words.iter().any(|w| text.contains(w))
    };
    says(instructions, &["expired", "change your password"])
        || prompts.into_iter().any(|p| {
            says(
                p,
                &[
                    "new password",
                    "current password",
                    "old password",
                    "expired",
                ],
            )
        })
}

/// The password was accepted and has expired.
pub fn expired(login: &str) -> HostError {
    HostError::Privilege {
        what: format!("the password of {login} has expired, and the host wants a new one"),
        hints: vec![
            "log in by hand and set a new password, then change ansible_password".into(),
            format!("or on the host, as root: chage -M -1 {login}, if it shall not expire"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_change_is_known_by_its_words() {
        for (instructions, prompts, change) in [
            ("", &["Password: "][..], false),
            ("", &[], false),
            ("", &["Verification code: "], false),
            (
                "You are required to change your password immediately (administrator enforced).",
                &[],
                true,
            ),
            ("", &["Current password: "], true),
            (
                "Password expired. Change your password now.",
                &["New password: "],
                true,
            ),
        ] {
            assert_eq!(
                wants_change(instructions, prompts.iter().copied()),
                change,
                "{instructions} {prompts:?}"
            );
        }
    }
}
