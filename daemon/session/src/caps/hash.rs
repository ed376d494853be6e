//! XEP-0115 §5: the hash that stands for what a client says about itself.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use crate::disco::{Form, IdentityText, Info};
use crate::model::CapsKey;

/// Supported hash functions, by their names in IANA's registry, which are in lower case.
const SHA_1: &str = "sha-1";
const SHA_256: &str = "sha-256";

/// The string to hash (§5.1); `None` if the information is ill-formed (§5.4).
pub(super) fn verification_string(info: &Info) -> Option<String> {
    let mut identities: Vec<&IdentityText> = info.identities.iter().collect();
    identities.sort();
    let mut features: Vec<&String> = info.features.iter().collect();
    features.sort();
    let mut text = String::new();
    let mut put = |part: &str| {
        // A `<` inside a part could make one set look like another.
        let fits = !part.contains('<');
        text.push_str(part);
        text.push('<');
        fits
    };
    if identities.windows(2).any(|pair| pair[0] == pair[1])
        || features.windows(2).any(|pair| pair[0] == pair[1])
    {
        return None;
    }
    for IdentityText { category, type_, lang, name } in identities {
        put(&format!("{category}/{type_}/{lang}/{name}")).then_some(())?;
    }
    for feature in features {
        put(feature).then_some(())?;
    }
    let mut forms: BTreeMap<&str, &Form> = BTreeMap::new();
    for form in &info.forms {
        // §5.4: a form without a hidden FORM_TYPE is ignored.
        let Some(form_type) = form.form_type() else { continue };
        let first = form_type.first()?;
        if form_type.iter().any(|other| other != first) || forms.insert(first, form).is_some() {
            return None;
        }
    }
    for (form_type, form) in forms {
        put(form_type).then_some(())?;
        let mut fields: Vec<_> = form.fields.iter().filter(|(var, ..)| var != "FORM_TYPE").collect();
        fields.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        for (var, _, values) in fields {
            put(var).then_some(())?;
            let mut values: Vec<&String> = values.iter().collect();
            values.sort();
            for value in values {
                put(value).then_some(())?;
            }
        }
    }
    Some(text)
}

pub(super) fn fits(info: &Info, key: &CapsKey) -> bool {
    let Some(text) = verification_string(info) else { return false };
    let ver = match key.hash.as_str() {
        SHA_1 => BASE64_STANDARD.encode(Sha1::digest(text)),
        SHA_256 => BASE64_STANDARD.encode(Sha256::digest(text)),
        _ => return false,
    };
    ver == key.ver
}

/// Whether a device's answer can be checked against its hash, and so counts for all devices with that hash.
pub(super) fn is_verifiable(key: &CapsKey) -> bool {
    matches!(key.hash.as_str(), SHA_1 | SHA_256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Info {
        Info::read(&query.parse().unwrap()).unwrap()
    }

    fn sha1_of(info: &Info) -> Option<String> {
        verification_string(info).map(|text| BASE64_STANDARD.encode(Sha1::digest(text)))
    }

    const PSI: &str = "<query xmlns='http://jabber.org/protocol/disco#info'>
        <identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
        <identity xml:lang='el' category='client' name='Ψ 0.11' type='pc'/>
        <feature var='http://jabber.org/protocol/caps'/>
        <feature var='http://jabber.org/protocol/disco#info'/>
        <feature var='http://jabber.org/protocol/disco#items'/>
        <feature var='http://jabber.org/protocol/muc'/>
        <x xmlns='jabber:x:data' type='result'>
          <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
          <field var='ip_version' type='text-multi'><value>ipv4</value><value>ipv6</value></field>
          <field var='os'><value>Mac</value></field>
          <field var='os_version'><value>10.5.1</value></field>
          <field var='software'><value>Psi</value></field>
          <field var='software_version'><value>0.11</value></field>
        </x></query>";

    /// XEP-0115 §5.3.
    #[test]
    fn complex_example_of_the_xep() {
        assert_eq!(sha1_of(&read(PSI)).as_deref(), Some("q07IKJEyjvHSyhy//CH0CxmKi8w="));
    }

    /// XEP-0115 §5.4.
    #[test]
    fn ill_formed_information_has_no_hash() {
        let twice = PSI.replace(
            "<feature var='http://jabber.org/protocol/muc'/>",
            "<feature var='a'/><feature var='a'/>",
        );
        assert_eq!(sha1_of(&read(&twice)), None);
        let twice = PSI.replace(
            "xml:lang='el' category='client' name='Ψ 0.11'",
            "xml:lang='en' category='client' name='Psi 0.11'",
        );
        assert_eq!(sha1_of(&read(&twice)), None);
        let form = &PSI[PSI.find("<x ").unwrap()..PSI.find("</query>").unwrap()];
        assert_eq!(sha1_of(&read(&PSI.replace("</query>", &format!("{form}</query>")))), None);
        let types = PSI.replace("softwareinfo</value>", "softwareinfo</value><value>other</value>");
        assert_eq!(sha1_of(&read(&types)), None);
        let forged = PSI.replace("/muc'/>", "/muc&lt;client/pc//Psi'/>");
        assert_eq!(sha1_of(&read(&forged)), None);
    }

    #[test]
    fn a_form_without_hidden_type_counts_for_nothing() {
        let open = PSI.replace("var='FORM_TYPE' type='hidden'", "var='FORM_TYPE'");
        let none = format!("{}</query>", &PSI[..PSI.find("<x ").unwrap()]);
        assert_eq!(sha1_of(&read(&open)), sha1_of(&read(&none)));
    }
}
