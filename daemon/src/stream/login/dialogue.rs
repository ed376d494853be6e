//! What is said in turns before there is a session: an element of ours, an element of the server's.

use std::borrow::Cow;
use std::io;

use jid::BareJid;
use minidom::Element;
use tokio::io::AsyncWriteExt;
use xmpp_parsers::ns;

use crate::stream::ConnectError;
use crate::stream::error::stream_error;
use crate::stream::reach::tls::Secure;
use crate::stream::read::reader::{Reader, Received};
use crate::stream::read::stage::Stage;

/// A connection on which a login takes place.
pub(crate) struct Dialogue {
    reader: Reader<Secure>,
    /// Our stream header.
    header: String,
    /// Where the server has sent us instead.
    elsewhere: Option<String>,
}

impl Dialogue {
    pub(crate) fn new(secure: Secure, account: &BareJid) -> Self {
        Self { reader: Reader::new(secure, Stage::Login), header: header(account), elsewhere: None }
    }

    /// Opens a stream; answers its features. `ahead`: goes out in the same write, before the server has said a word.
    pub(crate) async fn open(&mut self, ahead: Option<&Element>) -> Result<Element, ConnectError> {
        let mut bytes = self.header.clone().into_bytes();
        bytes.extend(ahead.map(written).unwrap_or_default());
        self.write(&bytes).await?;
        match self.reader.next().await.map_err(ConnectError::from_io)? {
            Received::Header => self.features().await,
            _ => Err(disorder()),
        }
    }

    /// Waits for the stream's features.
    pub(crate) async fn features(&mut self) -> Result<Element, ConnectError> {
        let element = self.next().await?;
        if element.is("features", ns::STREAM) { Ok(element) } else { Err(disorder()) }
    }

    /// The account is logged in: opens a new stream; answers its features (RFC 6120 §6.4.6).
    pub(crate) async fn restart(&mut self) -> Result<Element, ConnectError> {
        self.reader.restart().map_err(ConnectError::from_io)?;
        self.open(None).await
    }

    /// The account is logged in, and the stream goes on (XEP-0388 §2.6.1).
    pub(crate) fn logged_in(&mut self) {
        self.reader.logged_in();
    }

    pub(crate) async fn send(&mut self, element: &Element) -> Result<(), ConnectError> {
        self.write(&written(element)).await
    }

    /// The next element that is no stanza of a session that we don't have yet, but for answers.
    pub(crate) async fn next(&mut self) -> Result<Element, ConnectError> {
        loop {
            match self.reader.next().await.map_err(ConnectError::from_io)? {
                Received::Element(element) if element.is("error", ns::STREAM) => {
                    let (error, elsewhere) = stream_error(&element);
                    self.elsewhere = elsewhere;
                    return Err(error);
                }
                Received::Element(element) => return Ok(element),
                Received::Stanza(Some(stanza)) => return Ok((*stanza).into()),
                Received::Stanza(None) => {}
                Received::Header => return Err(disorder()),
                Received::End => return Err(ConnectError::closed()),
            }
        }
    }

    /// Where the server has sent us instead (RFC 6120 §4.9.3.19).
    pub(crate) fn elsewhere(&mut self) -> Option<String> {
        self.elsewhere.take()
    }

    pub(crate) fn into_reader(self) -> Reader<Secure> {
        self.reader
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        let written: io::Result<()> = async {
            self.reader.get_mut().write_all(bytes).await?;
            self.reader.get_mut().flush().await
        }
        .await;
        written.map_err(ConnectError::from_io)
    }
}

/// What no server says here.
pub(crate) fn disorder() -> ConnectError {
    ConnectError::Protocol { text: "the server broke the order of the login".to_owned() }
}

/// An element as it is sent.
pub(crate) fn written(element: &Element) -> Vec<u8> {
    String::from(element).into_bytes()
}

/// A stream header (RFC 6120 §4.7). `from` is said behind TLS only, which this is.
fn header(account: &BareJid) -> String {
    let (to, from) = (escaped(account.domain().as_str()), escaped(account.as_str()));
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='{}' xmlns:stream='{}' to='{to}' from='{from}' version='1.0'>",
        ns::JABBER_CLIENT,
        ns::STREAM,
    )
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '\'']) {
        return text.into();
    }
    text.replace('&', "&amp;").replace('<', "&lt;").replace('\'', "&apos;").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_xml_whatever_an_account_is_called() {
        let account = BareJid::new("me@example.org").unwrap();
        let header = header(&account);
        let xml = header.strip_prefix("<?xml version='1.0'?>").unwrap();
        let element: Element = format!("{xml}</stream:stream>").parse().unwrap();
        assert!(element.is("stream", ns::STREAM));
        assert_eq!(element.attr("from"), Some(account.as_str()));
        assert_eq!(escaped("a&<'b"), "a&amp;&lt;&apos;b");
    }
}
