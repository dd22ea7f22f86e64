//! `monopg`; see the library.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(monopg::cli::run(std::env::args_os()).code())
}
