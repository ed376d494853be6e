//! Reads a password from a prompt, standard input or a command. Never from the arguments, which every program on the
//! machine can read.

use std::io::{BufRead, IsTerminal};
use std::process::Stdio;

use prosed_protocol::Secret;
use tokio::process::Command;

use crate::failure::Failure;

/// Longer than any password: a longer input is a mistake, such as the wrong file.
const MAX_PASSWORD_BYTES: u64 = 64 * 1024;

/// The first line of standard input.
pub(crate) fn from_stdin() -> Result<Secret, Failure> {
    first_line(std::io::stdin().lock())
}

/// The first line that the shell command prints. It can use the terminal, as password managers do.
pub(crate) async fn from_command(command: &str) -> Result<Secret, Failure> {
    let output = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .await
        .map_err(|error| Failure::Password(format!("sh can't be run: {error}")))?;
    if !output.status.success() {
        return Err(Failure::Password(format!("the password command failed: {}", output.status)));
    }
    first_line(output.stdout.as_slice())
}

/// Asks on the terminal, without echo. Absent if there is no terminal.
pub(crate) fn ask(jid: &str) -> Result<Option<Secret>, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    let prompt = format!("Password for {}: ", prosed_protocol::visible::plain(jid));
    let password =
        rpassword::prompt_password(prompt).map_err(|error| Failure::Password(error.to_string()))?;
    if password.is_empty() {
        Err(Failure::Password("it is empty".to_owned()))
    } else {
        Ok(Some(Secret::new(password)))
    }
}

fn first_line(input: impl BufRead) -> Result<Secret, Failure> {
    let mut line = String::new();
    input
        .take(MAX_PASSWORD_BYTES)
        .read_line(&mut line)
        .map_err(|error| Failure::Password(error.to_string()))?;
    if line.len() as u64 == MAX_PASSWORD_BYTES {
        return Err(Failure::Password("the line is too long".to_owned()));
    }
    let password = line.trim_end_matches(['\n', '\r']);
    if password.is_empty() {
        Err(Failure::Password("it is empty".to_owned()))
    } else {
        Ok(Secret::new(password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_with_its_spaces() {
        assert_eq!(
            first_line(&b" correct horse \r\nnot this\n"[..]).ok().unwrap().reveal(),
            " correct horse "
        );
        assert_eq!(first_line(&b"no line end"[..]).ok().unwrap().reveal(), "no line end");
        assert!(first_line(&b"\n"[..]).is_err());
        assert!(first_line(&b""[..]).is_err());
        assert!(first_line(vec![b'x'; 1 << 20].as_slice()).is_err());
    }
}
