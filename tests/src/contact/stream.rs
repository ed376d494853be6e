//! From a TCP port to a bound resource: TLS, PLAIN (the server is ours, and its certificate verified), bind.

use std::io::{Error, Result};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use minidom::Element;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::server::Door;
use crate::xml::{self, XmlStream, escape, find};

/// The receiving half of a connection.
pub(super) type Reader = ReadHalf<TlsStream<TcpStream>>;
/// The sending half of a connection.
pub(super) type Writer = WriteHalf<TlsStream<TcpStream>>;

/// A stream that is ready for stanzas.
pub(super) struct Bound {
    pub(super) full_jid: String,
    pub(super) reader: XmlStream<Reader>,
    pub(super) writer: Writer,
}

/// Authenticates and binds `resource`, or another one that the server assigns.
pub(super) async fn connect(server: &Door, name: &str, resource: &str) -> Result<Bound> {
    let (reader, mut writer) = split(server.connect().await?);
    let mut reader = XmlStream::new(reader);
    let header = format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{}' version='1.0'>",
        server.domain()
    );

    send(&mut writer, &header).await?;
    let _features = reader.expect().await?;
    let credentials = BASE64_STANDARD.encode(format!("\0{name}\0{}", server.password(name)));
    send(
        &mut writer,
        &format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{credentials}</auth>"),
    )
    .await?;
    expect_named(&reader.expect().await?, "success")?;

    reader.restart();
    send(&mut writer, &header).await?;
    let _features = reader.expect().await?;
    let resource = escape(resource);
    send(
        &mut writer,
        &format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{resource}</resource></bind></iq>"
        ),
    )
    .await?;
    let bound = reader.expect().await?;
    let full_jid = find(&bound, "jid", "urn:ietf:params:xml:ns:xmpp-bind")
        .map(Element::text)
        .ok_or_else(|| Error::other(xml::print(&bound)))?;
    Ok(Bound { full_jid, reader, writer })
}

async fn send(writer: &mut Writer, text: &str) -> Result<()> {
    writer.write_all(text.as_bytes()).await?;
    writer.flush().await
}

fn expect_named(element: &Element, name: &str) -> Result<()> {
    if element.name() == name { Ok(()) } else { Err(Error::other(xml::print(element))) }
}
