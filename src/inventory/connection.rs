//! The variables that lead to a host: every name that Ansible knows for one thing (its `ssh` connection
//! and `sudo` plugins). Of several that are set the last one listed wins.

/// Where the host is; without any the inventory's name of it.
pub const ADDRESS: &[&str] = &["ansible_host", "ansible_ssh_host"];
/// The port of its SSH server.
pub const PORT: &[&str] = &["ansible_port", "ansible_ssh_port"];
/// The login.
pub const USER: &[&str] = &["ansible_user", "ansible_ssh_user"];
/// A private key file on this machine.
pub const PRIVATE_KEY: &[&str] = &["ansible_private_key_file", "ansible_ssh_private_key_file"];
/// The login's password.
pub const PASSWORD: &[&str] = &[
    "ansible_password",
    "ansible_ssh_pass",
    "ansible_ssh_password",
];
/// How commands get there.
pub const CONNECTION: &[&str] = &["ansible_connection"];
/// Seconds that connecting may take.
pub const TIMEOUT: &[&str] = &["ansible_ssh_timeout"];
/// Whether the host's key is checked.
pub const HOST_KEY_CHECKING: &[&str] =
    &["ansible_host_key_checking", "ansible_ssh_host_key_checking"];
/// Arguments of ssh, first part.
pub const SSH_ARGS: &[&str] = &["ansible_ssh_args"];
/// Arguments of ssh, second part.
pub const SSH_COMMON_ARGS: &[&str] = &["ansible_ssh_common_args"];
/// Arguments of ssh, last part.
pub const SSH_EXTRA_ARGS: &[&str] = &["ansible_ssh_extra_args"];
/// Whether to become another user.
pub const BECOME: &[&str] = &["ansible_become"];
/// By which program's rules.
pub const BECOME_METHOD: &[&str] = &["ansible_become_method"];
/// Which user.
pub const BECOME_USER: &[&str] = &["ansible_become_user", "ansible_sudo_user"];
/// The password that the program asks for.
pub const BECOME_PASSWORD: &[&str] = &[
    "ansible_become_password",
    "ansible_become_pass",
    "ansible_sudo_pass",
];
/// The program.
pub const BECOME_EXE: &[&str] = &["ansible_become_exe", "ansible_sudo_exe"];
/// Its arguments.
pub const BECOME_FLAGS: &[&str] = &["ansible_become_flags", "ansible_sudo_flags"];

/// True for a variable that is a password by its name.
#[must_use]
pub fn is_password(name: &str) -> bool {
    PASSWORD.contains(&name) || BECOME_PASSWORD.contains(&name)
}
