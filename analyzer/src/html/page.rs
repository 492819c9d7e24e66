//! One file out of its parts: the template, the style, the script and the data.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

const TEMPLATE: &str = include_str!("page.html");

const STYLE: &str = include_str!("style.css");

/// The script, with parts in the order of their dependencies, in a block scope.
const SCRIPT: &str = concat!(
    "\"use strict\";\n{\n",
    include_str!("js/dom.js"),
    include_str!("js/filters.js"),
    include_str!("js/timeline.js"),
    include_str!("js/tables.js"),
    include_str!("js/flame.js"),
    include_str!("js/coverage.js"),
    include_str!("js/page.js"),
    "}\n"
);

/// SHA-256 as a content security policy writes it. No random nonce, so that the same recording
/// gives the same file.
fn digest(text: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(text))
}

/// The page as HTML, with the data embedded.
pub(crate) fn render<D: Serialize>(title: &str, data: &D) -> Result<String, Error> {
    // Nothing is loaded, and only this style and this script take effect.
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; \
         form-action 'none'",
        digest(STYLE),
        digest(SCRIPT),
    );
    let data = inert(&serde_json::to_string(data).map_err(Error::Page)?);
    let mut page = String::with_capacity(TEMPLATE.len() + STYLE.len() + SCRIPT.len() + data.len());
    // Inserted text is never searched for placeholders.
    for part in TEMPLATE.split("{{") {
        let Some((place, rest)) = part.split_once("}}") else {
            page.push_str(part);
            continue;
        };
        match place {
            "policy" => page.push_str(&policy),
            "title" => page.push_str(&markup(title)),
            "style" => page.push_str(STYLE),
            "data" => page.push_str(&data),
            "script" => page.push_str(SCRIPT),
            other => page.push_str(other),
        }
        page.push_str(rest);
    }
    Ok(page)
}

/// JSON without the letters that could end its element or begin markup. They occur only inside
/// strings, where an escape has the same meaning.
fn inert(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            other => text.push(other),
        }
    }
    text
}

/// Text escaped for HTML.
fn markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_leave_its_element() {
        let hostile =
            ["</script><script>alert(1)</script>", "<!--", "a & b", "\u{2028}", "{{script}}"];
        let page = render("</title><b> & {{data}}", &hostile).unwrap();
        assert_eq!(page.matches("</script").count(), 2, "the template's own");
        assert!(page.contains("<title>&lt;/title&gt;&lt;b&gt; &amp; {{data}}</title>"));
        let (_, rest) = page.split_once("id=\"data\">").unwrap();
        let (json, _) = rest.split_once("</script>").unwrap();
        assert!(!json.contains(['<', '>', '&', '\u{2028}']));
        assert_eq!(serde_json::from_str::<Vec<String>>(json).unwrap(), hostile);
    }

    #[test]
    fn the_script_makes_no_markup_and_asks_for_nothing() {
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "fetch(",
            "XMLHttpRequest",
            "import(",
            "DOMParser",
            "createContextualFragment",
            "://",
        ] {
            let own = SCRIPT.replace("\"http://www.w3.org/2000/svg\"", "");
            assert!(!own.contains(word), "{word}");
        }
        assert!(!STYLE.contains("url(http") && !STYLE.contains("@import"));
    }
}
