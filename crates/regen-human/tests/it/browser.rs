//! The page in a real browser. Pictures of it are left in `target/tmp`.
//!
//! ```text
//! cargo test -p regen-human --test it browser -- --ignored
//! ```

use std::path::Path;

use regen_human::{Answer, Design, Store};
use serde_json::Value;

use crate::http::{served, served_at};
use crate::studies::study;
use crate::webdriver::Browser;

/// Backspace and Enter in the WebDriver protocol.
const BACKSPACE: &str = "\u{e003}";
const ENTER: &str = "\u{e007}";

fn picture(browser: &Browser, name: &str) {
    browser.picture(&Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("human-{name}.png")));
}

/// Least contrast of the texts with their backgrounds, by the formula of WCAG 2.
const CONTRAST: &str = r"(() => {
  const part = (c) => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (colour) => { const [r, g, b] = colour.match(/[\d.]+/g).map(Number); return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b); };
  const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!/, 0\)$|transparent/.test(c)) return c; } return 'rgb(255, 255, 255)'; };
  let least = 21;
  for (const e of document.querySelectorAll('h1, h2, p, li, legend, label, kbd, span, button:not(:disabled)')) {
    if (!e.offsetParent || !e.innerText.trim()) continue;
    const [one, other] = [light(getComputedStyle(e).color), light(ground(e))].sort((a, b) => b - a);
    least = Math.min(least, (one + 0.05) / (other + 0.05));
  }
  return least;
})()";

fn join(browser: &Browser, url: &str, name: &str) {
    browser.open(url);
    browser.wait("!document.getElementById('join').hidden");
    browser.write("#name", name);
    browser.click("#join button");
    browser.wait("!document.getElementById('task').hidden");
}

const SAVED: &str = "document.getElementById('state').innerText === 'All answered' && !document.getElementById('next').disabled";

#[test]
#[ignore = "needs chromium and chromedriver"]
fn pairs_are_judged_by_keyboard_and_mouse_and_a_reload_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.sqlite");
    let study = study(Design::Pairs, 3);
    served(&study, &path, |address| {
        let browser = Browser::start();
        let url = format!("http://{address}/");
        browser.open(&url);
        browser.wait("!document.getElementById('join').hidden");
        picture(&browser, "join");
        join(&browser, &url, "Ada");
        // Markup in texts is text; nothing of it ran, nothing names a system.
        assert_eq!(browser.value("document.querySelectorAll('main img, main script').length"), 0);
        assert_eq!(browser.value("document.title"), "Judging texts");
        assert!(browser.text("#texts").contains("<script>document.title='owned'</script>"));
        assert_eq!(browser.value("document.documentElement.outerHTML.includes('SECRET')"), false);
        assert!(browser.text("#purpose").contains("recommend the item to this user in one sentence"));
        assert!(browser.text("#material").contains("Halden Stapler, Black"));
        let unnamed = "[...document.querySelectorAll('input')].filter(i => i.labels.length === 0).length";
        assert_eq!(browser.value(unnamed), 0, "every control has a label");
        picture(&browser, "pairs");
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            // Colours change gradually.
            browser.wait(&format!("{CONTRAST} >= 4.5"));
        }
        picture(&browser, "pairs-dark");
        browser.prefer("light");

        assert_eq!(browser.value("document.getElementById('next').disabled"), true);
        browser.press(&["1", "2", "3", "0", "1"]);
        browser.wait(SAVED);
        browser.press(&[ENTER]);
        browser.wait("document.getElementById('count').innerText === '1 of 3 done'");
        browser.wait("document.getElementById('state').innerText === '5 questions left'");

        browser.click("fieldset:nth-of-type(2) label:nth-of-type(3)");
        browser.wait("document.querySelectorAll('.saved')[1].innerText === 'saved'");
        browser.reload();
        browser.wait("document.getElementById('state').innerText === '4 questions left'");
        assert_eq!(
            browser.value("document.querySelector('fieldset:nth-of-type(2) :checked').value"),
            "right"
        );
        browser.press(&["1", "1", "1", "1"]);
        browser.wait(SAVED);
        browser.press(&[BACKSPACE]);
        browser.wait("document.querySelector('fieldset:nth-of-type(4) :checked').value === 'unsure'");
        browser.click("#next");
        browser.wait("document.querySelector('fieldset:nth-of-type(2) :checked')?.value === 'right'");
        browser.click("#next");
        browser.wait("document.getElementById('state').innerText === '5 questions left'");
        browser.press(&["2", "2", "2", "2", "2"]);
        browser.wait(SAVED);
        browser.press(&[ENTER]);
        browser.wait("!document.getElementById('done').hidden");
        assert_eq!(browser.text("#count"), "3 of 3 done");
        picture(&browser, "done");
    });
    let (mut store, study) = Store::open(&path).unwrap();
    let answers = store.answers(&study, None).unwrap();
    assert_eq!(answers.len(), 15);
    let count = |answer| answers.iter().filter(|answered| answered.answer == answer).count();
    assert_eq!((count(Answer::Tie), count(Answer::Unsure)), (6, 1));
    // Left twice and right once in the first task; in the second left four times and right once.
    let left = |answered: &&regen_human::Answered| answered.answer.swapped(answered.swapped) == Answer::First;
    assert_eq!(answers.iter().filter(left).count(), 6);
    assert!(answers.iter().all(|answered| answered.seconds > 0.0 && answered.seconds < 600.0));
}

#[test]
#[ignore = "needs chromium and chromedriver"]
fn single_texts_are_scored_and_an_answer_that_is_not_saved_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("study.sqlite");
    let study = study(Design::Single, 2);
    let browser = Browser::start();
    let mut port = 0;
    served(&study, &path, |address| {
        port = address.port();
        join(&browser, &format!("http://{address}/"), "Grace");
        assert_eq!(browser.text("#count"), "0 of 4 done");
        browser.press(&["4", "5"]);
        browser.wait("document.querySelectorAll('.saved')[1].innerText === 'saved'");
        browser.wait("document.querySelector('fieldset.current legend').innerText === 'Persuasiveness'");
        picture(&browser, "single");
        browser.wait(&format!("{CONTRAST} >= 4.5"));
    });
    // The server is gone: the answer must not look saved, and the page must say what to do.
    browser.press(&["3"]);
    browser.wait("!document.getElementById('alert').hidden");
    assert!(browser.text("#alert").contains("does not answer"));
    assert!(browser.text("fieldset:nth-of-type(3) .saved").contains("not saved"));
    assert_eq!(browser.value("document.querySelector('fieldset:nth-of-type(3) :checked')"), Value::Null);
    picture(&browser, "not-saved");
    // It is back at the same place: the answer is chosen again and kept. Connections to the server that went away inside this
    // process are still open, so that the browser may try them first and give up.
    served_at(port, &study, &path, |_| {
        for _ in 0..6 {
            browser.click("fieldset:nth-of-type(3) label:nth-of-type(2)");
            browser.wait("document.querySelectorAll('.saved')[2].innerText !== 'saving…'");
            if browser.text("fieldset:nth-of-type(3) .saved") == "saved" {
                break;
            }
        }
        assert_eq!(browser.text("fieldset:nth-of-type(3) .saved"), "saved");
        assert_eq!(browser.value("document.getElementById('alert').hidden"), true);
    });
    let (mut store, study) = Store::open(&path).unwrap();
    let found: Vec<(String, Answer)> =
        store.answers(&study, None).unwrap().into_iter().map(|a| (a.attribute, a.answer)).collect();
    let score = |name: &str, score| (name.to_owned(), Answer::Score(score));
    assert_eq!(found, [score("personalisation", 5), score("persuasiveness", 2), score("veracity", 4)]);
}
