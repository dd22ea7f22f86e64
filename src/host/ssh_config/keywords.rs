//! The table of `ssh_config`'s keywords: which there are, what form their values have, which of them count here.
//!
//! May depend on nothing. One reason: OpenSSH refuses a file for one unknown word, so the words must be complete.
//!
//! Source: ssh_config(5) of OpenSSH 10, its deprecated words, and the words that Debian, Fedora and Apple add.

/// The form of a keyword's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `yes`, `no`, `true`, `false`.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One word.
    Text,
    /// One word or more; `none` only alone.
    Words,
    /// The rest of the line as it stands there.
    Rest,
    /// `ProxyJump`'s list.
    Jump,
    /// A TCP port.
    Port,
    /// A number from 0.
    Integer,
    /// `90`, `1m30s`, `none`.
    Time,
    /// A path or the name of a variable.
    Agent,
    /// Patterns of names of variables.
    SendEnv,
    /// `NAME=value`, one or more.
    SetEnv,
    /// Whatever: it has no meaning here and is not checked.
    Any,
}

/// The keywords that count here. All others are known, checked by their form, and have no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    missing_docs,
    reason = "the names are OpenSSH's; ssh_config(5) tells what each means"
)]
pub enum Keyword {
    AddressFamily,
    BatchMode,
    BindAddress,
    BindInterface,
    CASignatureAlgorithms,
    CanonicalizeHostname,
    CanonicalizePermittedCNAMEs,
    CertificateFile,
    ConnectTimeout,
    ConnectionAttempts,
    GlobalKnownHostsFile,
    HashKnownHosts,
    HostKeyAlgorithms,
    HostKeyAlias,
    HostName,
    IdentitiesOnly,
    IdentityAgent,
    IdentityFile,
    IgnoreUnknown,
    KbdInteractiveAuthentication,
    KnownHostsCommand,
    NumberOfPasswordPrompts,
    PKCS11Provider,
    PasswordAuthentication,
    Port,
    PreferredAuthentications,
    ProxyCommand,
    ProxyJump,
    PubkeyAuthentication,
    RefuseConnection,
    RevokedHostKeys,
    SecurityKeyProvider,
    SendEnv,
    ServerAliveCountMax,
    ServerAliveInterval,
    SetEnv,
    StrictHostKeyChecking,
    Tag,
    User,
    UserKnownHostsFile,
    /// Known, and of no effect here.
    Other,
}

impl Keyword {
    /// True if each value is added to those before; of all other keywords the first one counts.
    pub fn accumulates(self) -> bool {
        matches!(
            self,
            Keyword::IdentityFile | Keyword::CertificateFile | Keyword::SendEnv
        )
    }

    /// The keyword as ssh_config(5) writes it.
    pub fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|(_, keyword, _)| *keyword == self)
            .map_or("", |(name, ..)| name)
    }
}

/// What a word at the beginning of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Begins a block for names.
    Host,
    /// Begins a block for conditions.
    Match,
    /// Reads more files.
    Include,
    /// Sets a value.
    Value(Keyword, Form),
}

/// Finds a word given in lower case.
pub fn find(word: &str) -> Option<Word> {
    match word {
        "host" => return Some(Word::Host),
        "match" => return Some(Word::Match),
        "include" => return Some(Word::Include),
        _ => {}
    }
    let word = ALIASES
        .iter()
        .find(|(alias, _)| *alias == word)
        .map_or(word, |(_, name)| name);
    if GONE.contains(&word) {
        return Some(Word::Value(Keyword::Other, Form::Any));
    }
    TABLE
        .iter()
        .find(|(name, ..)| name.eq_ignore_ascii_case(word))
        .map(|(_, keyword, form)| Word::Value(*keyword, *form))
}

/// The words as they are written, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    ["Host", "Match", "Include"]
        .into_iter()
        .chain(TABLE.iter().map(|(name, ..)| *name))
}

/// Older words for the same.
const ALIASES: &[(&str, &str)] = &[
    (
        "challengeresponseauthentication",
        "kbdinteractiveauthentication",
    ),
    ("skeyauthentication", "kbdinteractiveauthentication"),
    ("tisauthentication", "kbdinteractiveauthentication"),
    ("dsaauthentication", "pubkeyauthentication"),
    ("hostbasedkeytypes", "hostbasedacceptedalgorithms"),
    ("identityfile2", "identityfile"),
    ("keepalive", "tcpkeepalive"),
    ("pubkeyacceptedkeytypes", "pubkeyacceptedalgorithms"),
    ("rsaminsize", "requiredrsasize"),
    ("smartcarddevice", "pkcs11provider"),
];

/// Words that once meant something; OpenSSH still reads them.
const GONE: &[&str] = &[
    "afstokenpassing",
    "cipher",
    "compressionlevel",
    "fallbacktorsh",
    "globalknownhostsfile2",
    "kerberosauthentication",
    "kerberostgtpassing",
    "protocol",
    "rhostsauthentication",
    "rhostsrsaauthentication",
    "rsaauthentication",
    "useprivilegedport",
    "userknownhostsfile2",
    "useroaming",
    "usersh",
];

const YES_NO_ASK: Form = Form::Choice(&["yes", "no", "true", "false", "ask"]);

/// Every word that sets a value.
const TABLE: &[(&str, Keyword, Form)] = &[
    ("AddKeysToAgent", Keyword::Other, Form::Any),
    (
        "AddressFamily",
        Keyword::AddressFamily,
        Form::Choice(&["any", "inet", "inet6"]),
    ),
    ("BatchMode", Keyword::BatchMode, Form::Flag),
    ("BindAddress", Keyword::BindAddress, Form::Text),
    ("BindInterface", Keyword::BindInterface, Form::Text),
    (
        "CASignatureAlgorithms",
        Keyword::CASignatureAlgorithms,
        Form::Text,
    ),
    ("CanonicalDomains", Keyword::Other, Form::Any),
    ("CanonicalizeFallbackLocal", Keyword::Other, Form::Flag),
    (
        "CanonicalizeHostname",
        Keyword::CanonicalizeHostname,
        Form::Choice(&["yes", "no", "true", "false", "always"]),
    ),
    ("CanonicalizeMaxDots", Keyword::Other, Form::Integer),
    (
        "CanonicalizePermittedCNAMEs",
        Keyword::CanonicalizePermittedCNAMEs,
        Form::Words,
    ),
    ("CertificateFile", Keyword::CertificateFile, Form::Text),
    ("ChannelTimeout", Keyword::Other, Form::Any),
    ("CheckHostIP", Keyword::Other, Form::Flag),
    ("Ciphers", Keyword::Other, Form::Text),
    ("ClearAllForwardings", Keyword::Other, Form::Flag),
    ("Compression", Keyword::Other, Form::Flag),
    ("ConnectTimeout", Keyword::ConnectTimeout, Form::Time),
    (
        "ConnectionAttempts",
        Keyword::ConnectionAttempts,
        Form::Integer,
    ),
    (
        "ControlMaster",
        Keyword::Other,
        Form::Choice(&["yes", "no", "true", "false", "auto", "ask", "autoask"]),
    ),
    ("ControlPath", Keyword::Other, Form::Text),
    ("ControlPersist", Keyword::Other, Form::Text),
    ("DynamicForward", Keyword::Other, Form::Any),
    ("EnableEscapeCommandline", Keyword::Other, Form::Flag),
    ("EnableSSHKeysign", Keyword::Other, Form::Flag),
    ("EscapeChar", Keyword::Other, Form::Text),
    ("ExitOnForwardFailure", Keyword::Other, Form::Flag),
    (
        "FingerprintHash",
        Keyword::Other,
        Form::Choice(&["md5", "sha256"]),
    ),
    ("ForkAfterAuthentication", Keyword::Other, Form::Flag),
    ("ForwardAgent", Keyword::Other, Form::Text),
    ("ForwardX11", Keyword::Other, Form::Flag),
    ("ForwardX11Timeout", Keyword::Other, Form::Time),
    ("ForwardX11Trusted", Keyword::Other, Form::Flag),
    ("GSSAPIAuthentication", Keyword::Other, Form::Flag),
    ("GSSAPIClientIdentity", Keyword::Other, Form::Any),
    ("GSSAPIDelegateCredentials", Keyword::Other, Form::Flag),
    ("GSSAPIKexAlgorithms", Keyword::Other, Form::Any),
    ("GSSAPIKeyExchange", Keyword::Other, Form::Any),
    ("GSSAPIRenewalForcesRekey", Keyword::Other, Form::Any),
    ("GSSAPIServerIdentity", Keyword::Other, Form::Any),
    ("GSSAPITrustDNS", Keyword::Other, Form::Any),
    ("GatewayPorts", Keyword::Other, Form::Flag),
    (
        "GlobalKnownHostsFile",
        Keyword::GlobalKnownHostsFile,
        Form::Words,
    ),
    ("HashKnownHosts", Keyword::HashKnownHosts, Form::Flag),
    ("HostKeyAlgorithms", Keyword::HostKeyAlgorithms, Form::Text),
    ("HostKeyAlias", Keyword::HostKeyAlias, Form::Text),
    ("HostName", Keyword::HostName, Form::Text),
    ("HostbasedAcceptedAlgorithms", Keyword::Other, Form::Text),
    ("HostbasedAuthentication", Keyword::Other, Form::Flag),
    ("IPQoS", Keyword::Other, Form::Any),
    ("IdentitiesOnly", Keyword::IdentitiesOnly, Form::Flag),
    ("IdentityAgent", Keyword::IdentityAgent, Form::Agent),
    ("IdentityFile", Keyword::IdentityFile, Form::Text),
    ("IgnoreUnknown", Keyword::IgnoreUnknown, Form::Text),
    (
        "KbdInteractiveAuthentication",
        Keyword::KbdInteractiveAuthentication,
        Form::Flag,
    ),
    ("KbdInteractiveDevices", Keyword::Other, Form::Text),
    ("KexAlgorithms", Keyword::Other, Form::Text),
    ("KnownHostsCommand", Keyword::KnownHostsCommand, Form::Rest),
    ("LocalCommand", Keyword::Other, Form::Rest),
    ("LocalForward", Keyword::Other, Form::Any),
    (
        "LogLevel",
        Keyword::Other,
        Form::Choice(&[
            "quiet", "fatal", "error", "info", "verbose", "debug", "debug1", "debug2", "debug3",
        ]),
    ),
    ("LogVerbose", Keyword::Other, Form::Any),
    ("MACs", Keyword::Other, Form::Text),
    (
        "NoHostAuthenticationForLocalhost",
        Keyword::Other,
        Form::Flag,
    ),
    (
        "NumberOfPasswordPrompts",
        Keyword::NumberOfPasswordPrompts,
        Form::Integer,
    ),
    ("ObscureKeystrokeTiming", Keyword::Other, Form::Any),
    ("PKCS11Provider", Keyword::PKCS11Provider, Form::Text),
    (
        "PasswordAuthentication",
        Keyword::PasswordAuthentication,
        Form::Flag,
    ),
    ("PermitLocalCommand", Keyword::Other, Form::Flag),
    ("PermitRemoteOpen", Keyword::Other, Form::Any),
    ("Port", Keyword::Port, Form::Port),
    (
        "PreferredAuthentications",
        Keyword::PreferredAuthentications,
        Form::Text,
    ),
    ("ProxyCommand", Keyword::ProxyCommand, Form::Rest),
    ("ProxyJump", Keyword::ProxyJump, Form::Jump),
    ("ProxyUseFdpass", Keyword::Other, Form::Flag),
    ("PubkeyAcceptedAlgorithms", Keyword::Other, Form::Text),
    (
        "PubkeyAuthentication",
        Keyword::PubkeyAuthentication,
        Form::Choice(&["yes", "no", "true", "false", "unbound", "host-bound"]),
    ),
    ("RefuseConnection", Keyword::RefuseConnection, Form::Text),
    ("RekeyLimit", Keyword::Other, Form::Any),
    ("RemoteCommand", Keyword::Other, Form::Rest),
    ("RemoteForward", Keyword::Other, Form::Any),
    (
        "RequestTTY",
        Keyword::Other,
        Form::Choice(&["yes", "no", "true", "false", "force", "auto"]),
    ),
    ("RequiredRSASize", Keyword::Other, Form::Integer),
    ("RevokedHostKeys", Keyword::RevokedHostKeys, Form::Words),
    (
        "SecurityKeyProvider",
        Keyword::SecurityKeyProvider,
        Form::Text,
    ),
    ("SendEnv", Keyword::SendEnv, Form::SendEnv),
    (
        "ServerAliveCountMax",
        Keyword::ServerAliveCountMax,
        Form::Integer,
    ),
    (
        "ServerAliveInterval",
        Keyword::ServerAliveInterval,
        Form::Time,
    ),
    (
        "SessionType",
        Keyword::Other,
        Form::Choice(&["none", "subsystem", "default"]),
    ),
    ("SetEnv", Keyword::SetEnv, Form::SetEnv),
    ("StdinNull", Keyword::Other, Form::Flag),
    ("StreamLocalBindMask", Keyword::Other, Form::Any),
    ("StreamLocalBindUnlink", Keyword::Other, Form::Flag),
    (
        "StrictHostKeyChecking",
        Keyword::StrictHostKeyChecking,
        Form::Choice(&["yes", "no", "true", "false", "ask", "off", "accept-new"]),
    ),
    ("SyslogFacility", Keyword::Other, Form::Text),
    ("TCPKeepAlive", Keyword::Other, Form::Flag),
    ("Tag", Keyword::Tag, Form::Text),
    ("Tunnel", Keyword::Other, Form::Text),
    ("TunnelDevice", Keyword::Other, Form::Any),
    ("UpdateHostKeys", Keyword::Other, YES_NO_ASK),
    ("UseKeychain", Keyword::Other, Form::Any),
    ("User", Keyword::User, Form::Text),
    (
        "UserKnownHostsFile",
        Keyword::UserKnownHostsFile,
        Form::Words,
    ),
    ("VerifyHostKeyDNS", Keyword::Other, YES_NO_ASK),
    ("VersionAddendum", Keyword::Other, Form::Rest),
    ("VisualHostKey", Keyword::Other, Form::Flag),
    ("WarnWeakCrypto", Keyword::Other, Form::Any),
    ("XAuthLocation", Keyword::Other, Form::Text),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_says_everything_once() {
        let names: BTreeSet<_> = names().map(str::to_ascii_lowercase).collect();
        assert_eq!(names.len(), TABLE.len() + 3);
        for (alias, name) in ALIASES {
            assert!(names.contains(*name) && !names.contains(*alias), "{alias}");
        }
        assert!(GONE.iter().all(|g| !names.contains(*g)));
        let counting: Vec<_> = TABLE.iter().filter(|r| r.1 != Keyword::Other).collect();
        for (name, keyword, _) in &counting {
            // The enum's names are the words themselves, so that a message shows what the file says.
            assert_eq!(format!("{keyword:?}"), *name);
            assert_eq!(keyword.name(), *name);
        }
        assert_eq!(counting.len(), Keyword::Other as usize);
    }

    #[test]
    fn aliases_and_old_words_are_known() {
        let kbd = Word::Value(Keyword::KbdInteractiveAuthentication, Form::Flag);
        assert_eq!(find("challengeresponseauthentication"), Some(kbd));
        assert_eq!(
            find("useroaming"),
            Some(Word::Value(Keyword::Other, Form::Any))
        );
        assert_eq!(find("include"), Some(Word::Include));
        assert_eq!(find("prot"), None);
    }
}
