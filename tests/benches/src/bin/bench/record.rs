//! Writes `RECORD.md` and its plot.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use prosed_benches::outcome::Outcome;

use crate::figures::{Row, Sample};
use crate::startup::{Figure, Runs, cpu, wall};

/// Everything above this line in `RECORD.md` is written by hand.
const MARK: &str = "<!-- Below: written by tests/bench --record -->";

/// A line of the plot: what it shows, and how it is drawn.
type Client = (&'static str, &'static str, fn(&Runs) -> &[Outcome]);

const CLIENTS: [Client; 4] = [
    ("floor", "#888888", |runs| &runs.floor),
    ("bare tokio-xmpp", "#2a78b8", |runs| &runs.bare),
    ("slixmpp", "#c08a1e", |runs| &runs.slixmpp),
    ("prosed", "#c0392b", |runs| &runs.prosed),
];

/// The table, as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text =
        String::from("| goal | what | figures | result | at most | |\n|---|---|---|---|---|---|\n");
    for row in rows {
        let Row { goal, what, figures, result, unit, .. } = row;
        let (most, verdict) = (row.goal_text().replace("≤ ", ""), row.verdict());
        let _infallible =
            writeln!(text, "| {goal} | {what} | {figures} | {result} {unit} | {most} | {verdict} |");
    }
    text
}

/// Replaces the table and the plot.
pub(crate) fn write(rows: &[Row], runs: &[Runs], times: usize, load: (String, String)) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("RECORD.md");
    let before = fs::read_to_string(&path).expect("RECORD.md is there");
    let (head, _) = before.split_once(MARK).expect("RECORD.md has the mark");
    let text = format!(
        "{head}{MARK}\n\nRun on {}, {times} times each: {}. Load averages (1, 5, 15 minutes) before: {}; \
         after: {}.\n\n{}\n![CPU and wall at level B](record.svg)\n",
        date(),
        machine(),
        load.0,
        load.1,
        table(rows)
    );
    fs::write(&path, text).expect("RECORD.md can be written");
    fs::write(folder.join("record.svg"), plot(runs)).expect("the plot can be written");
}

/// The load averages, as the kernel reports them.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(", ")
}

fn date() -> String {
    let date = Command::new("date").args(["--utc", "+%Y-%m-%d %H:%M UTC"]).output();
    date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let model = model.map_or("an unnamed processor", |(_, model)| model);
    format!("{cores} cores of {model}, Linux {}, {build} build", kernel.trim())
}

const WIDTH: f64 = 330.0;
const HEIGHT: f64 = 240.0;

/// Both axes are logarithmic: slope one means proportional to the number of contacts.
fn plot(runs: &[Runs]) -> String {
    let runs: Vec<&Runs> = runs.iter().filter(|runs| runs.play.name.starts_with('b')).collect();
    let mut svg = String::from(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 800 330' font-family='sans-serif' font-size='11'>\n\
         <rect width='800' height='330' fill='white'/>\n",
    );
    for (panel, (title, figure)) in [("CPU, ms", cpu as Figure), ("wall, ms", wall)].into_iter().enumerate() {
        let left = 50.0 + panel as f64 * 390.0;
        let _infallible =
            writeln!(svg, "<text x='{left}' y='18' font-weight='bold'>{title}, by contacts (level B)</text>");
        svg.push_str(&axes(left));
        for (name, colour, outcomes) in CLIENTS {
            let points = runs.iter().filter(|runs| !outcomes(runs).is_empty()).map(|runs| {
                let middle = outcomes(runs).iter().map(figure).collect::<Sample>().median();
                (x(left, runs.play.contacts as f64), y(middle))
            });
            svg.push_str(&line(name, colour, &points.collect::<Vec<_>>()));
        }
    }
    svg + "</svg>\n"
}

/// From 10 to 100,000 contacts.
fn x(left: f64, contacts: f64) -> f64 {
    left + (contacts.max(10.0).log10() - 1.0) / 4.0 * WIDTH
}

/// From 1 to 100,000 milliseconds.
fn y(ms: f64) -> f64 {
    30.0 + HEIGHT - ms.max(1.0).log10() / 5.0 * HEIGHT
}

fn axes(left: f64) -> String {
    let mut svg = String::new();
    for power in 0..=5 {
        let (value, at) = (10_f64.powi(power), y(10_f64.powi(power)));
        let (right, label) = (left + WIDTH, left - 6.0);
        let _infallible = writeln!(
            svg,
            "<path d='M{left} {at:.1}H{right}' stroke='#dddddd'/>\
             <text x='{label}' y='{at:.1}' text-anchor='end'>{value}</text>"
        );
        if power > 0 {
            let _infallible = writeln!(
                svg,
                "<text x='{:.1}' y='{}' text-anchor='middle'>{value}</text>",
                x(left, value),
                HEIGHT + 48.0
            );
        }
    }
    svg
}

fn line(name: &str, colour: &str, points: &[(f64, f64)]) -> String {
    let Some((last_x, last_y)) = points.last() else { return String::new() };
    let path: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let dots: String = points
        .iter()
        .map(|(x, y)| format!("<circle cx='{x:.1}' cy='{y:.1}' r='2.5' fill='{colour}'/>"))
        .collect();
    format!(
        "<polyline points='{}' fill='none' stroke='{colour}' stroke-width='1.5'/>{dots}\
         <text x='{:.1}' y='{:.1}' fill='{colour}'>{name}</text>\n",
        path.join(" "),
        last_x + 5.0,
        last_y + 4.0
    )
}
