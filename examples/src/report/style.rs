//! How pages look, and how texts get into them.

/// The style sheet of every page; nothing is fetched.
pub(crate) const STYLE: &str = "
:root{color-scheme:light;--ink:#1c2024;--soft:#5c6670;--line:#dde2e7;--paper:#fff;--panel:#f6f8fa}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}
main{max-width:860px;margin:0 auto;padding:40px 24px 80px}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .4rem}
h2{font-size:1.2rem;margin:2.6rem 0 .6rem;padding-top:1rem;border-top:1px solid var(--line)}
p.lead{color:var(--soft);margin-top:0}
p.note,figcaption{color:var(--soft);font-size:.9rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.94rem}
th,td{text-align:right;padding:.42rem .6rem;border-bottom:1px solid var(--line);vertical-align:top}
th:first-child,td:first-child{text-align:left}
thead th{color:var(--soft);font-weight:600}
td small{display:block;color:var(--soft);font-size:.78rem}
tr.best td{background:var(--panel);font-weight:600}
th.written,td.written{text-align:left}
td.written{font-weight:400}
figure{margin:.8rem 0}
svg{width:100%;height:auto;display:block}
svg text{font-size:12px;fill:var(--soft)}
svg .grid{stroke:var(--line)}
svg .axis{stroke:var(--soft)}
.legend{display:flex;gap:1.2rem;flex-wrap:wrap;font-size:.86rem;color:var(--soft)}
.legend i{display:inline-block;width:24px;margin-right:6px;vertical-align:middle}
.sample{background:var(--panel);border-radius:8px;padding:14px 18px;margin:14px 0}
.sample .kind{font-size:.8rem;letter-spacing:.04em;text-transform:uppercase;color:var(--soft)}
.sample .context{font-size:.86rem;color:var(--soft)}
.sample dl{display:grid;grid-template-columns:6.2rem 1fr;gap:.35rem .8rem;margin:.7rem 0 0}
.sample dt{color:var(--soft);font-size:.88rem}
.sample dd{margin:0}
pre{background:var(--panel);padding:12px 16px;border-radius:8px;overflow-x:auto;font-size:.82rem}
@media print{main{padding:0}}
";

/// A text as HTML shows it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
