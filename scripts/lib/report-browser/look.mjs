// look.mjs CHROMIUM PAGES PICTURES: validates each report of the folder PAGES, looks at it in a browser in two widths
// and both themes, prints it, and keeps pictures in PICTURES. One line a finding; ends with 1 if there was any.
import { createRequire } from 'node:module';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [chromium, pages, pictures] = process.argv.slice(2);
// The packages lie in the cache, beside nothing of the project.
const from = createRequire(join(process.cwd(), 'node_modules', 'x.js'));
const { chromium: driver } = from('playwright-core');
const { HtmlValidate, StaticConfigLoader } = from('html-validate');
const axe = readFileSync(from.resolve('axe-core/axe.min.js'), 'utf8');
const rules = JSON.parse(readFileSync(new URL('htmlvalidate.json', import.meta.url)));
const validator = new HtmlValidate(new StaticConfigLoader(rules));

const WIDTHS = [360, 1280];
const THEMES = ['light', 'dark'];
/** An A4 page without its margins, in CSS pixels. */
const PAPER = 688;

/** What the markup breaks of the standard. */
async function validate(html) {
  const report = await validator.validateString(html);
  return report.results.flatMap((r) => r.messages.map((m) => `line ${m.line}: ${m.message} (${m.ruleId})`));
}

/** Runs in the page: what leaves its place, or cannot be read. Everything that is folded is open. */
function measure() {
  const found = [];
  const page = document.documentElement;
  const name = (e) => `${e.tagName.toLowerCase()}.${e.getAttribute('class') ?? ''} "${(e.textContent ?? '').trim().slice(0, 40)}"`;
  if (page.scrollWidth > page.clientWidth) found.push(`the page is ${page.scrollWidth} wide on ${page.clientWidth}`);
  for (const e of document.body.querySelectorAll('*')) {
    if (e.closest('.scroll table, .sprite, .skip, svg')) continue;
    const r = e.getBoundingClientRect();
    if (r.width > 0 && (r.right > page.clientWidth + 1 || r.left < -1)) found.push(`leaves the screen: ${name(e)}`);
  }

  const channels = (color) => {
    const numbers = color.match(/[\d.]+/g)?.map(Number);
    return color.startsWith('rgb') && (numbers[3] ?? 1) > 0 ? numbers.slice(0, 3) : null;
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const behind = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const rgb = channels(getComputedStyle(at).backgroundColor);
      if (rgb) return rgb;
    }
    return [255, 255, 255];
  };
  let texts = 0;
  for (const svg of document.querySelectorAll('svg[role=img]')) {
    const frame = svg.getBoundingClientRect();
    if (frame.width === 0) continue;
    const rects = [...svg.querySelectorAll('rect')].filter((r) => !r.closest('defs'));
    const rows = [];
    for (const text of svg.querySelectorAll('text')) {
      const r = text.getBoundingClientRect();
      // One of two that the style chooses from.
      if (r.width === 0) continue;
      texts += 1;
      if (r.left < frame.left - 1 || r.right > frame.right + 1 || r.bottom > frame.bottom + 1) found.push(`leaves its drawing: ${name(text)}`);
      if (rows.some((o) => o.left < r.right && r.left < o.right && o.top + 3 < r.bottom - 3 && r.top + 3 < o.bottom - 3)) {
        found.push(`lies on other text: ${name(text)}`);
      }
      rows.push(r);
      const on = rects.filter((b) => {
        const q = b.getBoundingClientRect();
        return q.left <= r.left + 1 && q.right > r.left && q.top <= (r.top + r.bottom) / 2 && q.bottom >= (r.top + r.bottom) / 2;
      });
      for (const b of on) if (r.right > b.getBoundingClientRect().right) found.push(`leaves its box: ${name(text)}`);
      const under = on.map((b) => channels(getComputedStyle(b).fill)).filter(Boolean).pop() ?? behind(svg);
      const ratio = contrast(channels(getComputedStyle(text).fill), under);
      if (ratio < 4.5) found.push(`contrast ${ratio.toFixed(2)}: ${name(text)}`);
    }
    for (const mark of svg.querySelectorAll('rect.bar, rect.band, rect.data, rect.other, path.wire, path.head, path.cross, circle.seen')) {
      const style = getComputedStyle(mark);
      const color = channels(mark.tagName === 'path' && style.fill === 'none' ? style.stroke : style.fill);
      const rail = svg.querySelector('rect.rail');
      const under = (rail && mark.tagName === 'rect' && channels(getComputedStyle(rail).fill)) || behind(svg);
      if (color && contrast(color, under) < 3) found.push(`contrast ${contrast(color, under).toFixed(2)}: ${name(mark)}`);
    }
  }
  return { found: [...new Set(found)], texts };
}

/** Looks at one page; gives what was found, and pictures if they have a name. */
async function look(browser, url, width, theme, picture) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: theme });
  const page = await context.newPage();
  const found = [];
  page.on('request', (r) => r.url() === url || found.push(`asks for ${r.url()}`));
  page.on('console', (m) => m.type() === 'error' && found.push(`console: ${m.text()}`));
  page.on('dialog', (d) => (found.push(`says ${d.message()}`), d.dismiss()));
  await page.goto(url);
  if (picture) await page.screenshot({ path: `${picture}.png`, fullPage: true });
  await page.evaluate(() => document.querySelectorAll('details').forEach((d) => (d.open = true)));
  const measured = await page.evaluate(measure);
  found.push(...measured.found);
  await page.evaluate(axe);
  const judged = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  for (const v of judged.violations) for (const n of v.nodes) found.push(`${v.id}: ${v.help}: ${n.html.slice(0, 120)} ${n.any[0]?.message ?? ''}`);
  await context.close();
  return { found, texts: measured.texts };
}

/** Prints one page: nothing may be folded or cut off. */
async function print(browser, url, to) {
  const context = await browser.newContext({ viewport: { width: PAPER, height: 1000 }, colorScheme: 'dark' });
  const page = await context.newPage();
  await page.goto(url);
  await page.emulateMedia({ media: 'print' });
  const found = await page.evaluate(() => {
    const folded = [...document.querySelectorAll('details > .inside')].filter((e) => e.getBoundingClientRect().height < 10 || !e.checkVisibility({ contentVisibilityAuto: true }));
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    const paper = getComputedStyle(document.body).backgroundColor;
    return [
      ...folded.map((e) => `folded on paper: ${e.parentElement.id}`),
      ...(wide > 0 ? [`${wide} px too wide for paper`] : []),
      ...(paper === 'rgb(255, 255, 255)' ? [] : [`paper is ${paper}`]),
    ];
  });
  const pdf = await page.pdf({ format: 'A4', printBackground: true, preferCSSPageSize: true });
  writeFileSync(to, pdf);
  const sheets = pdf.toString('latin1').match(/\/Type\s*\/Page\b/g)?.length ?? 0;
  if (sheets === 0) found.push('nothing was printed');
  await context.close();
  return found;
}

/** A page with everything that this program shall see: who sees nothing in it is blind. */
async function control(browser, html) {
  const spoilt = html
    .replace(/<meta http-equiv[^>]*>/, '')
    .replace('<main', '<p style="width:3000px">wide</p><p style="color:#ddd;background:#fff">faint</p><main')
    .replace('</svg>\n</figure>', '<text x="2000" y="5" fill="#fff">out</text></svg>\n</figure>')
    .replace('</main>', '<img src="https://example.invalid/x.png"><script>alert(1)</script></div></main>')
    .replaceAll('details::details-content', 'details::nothing');
  const file = join(pictures, 'control.html');
  writeFileSync(file, spoilt);
  const url = pathToFileURL(file).href;
  const seen = [
    ...(await validate(spoilt)),
    ...(await look(browser, url, 360, 'light')).found,
    ...(await print(browser, url, join(pictures, 'control.pdf'))),
  ].join('\n');
  rmSync(file);
  rmSync(join(pictures, 'control.pdf'));
  return ['no-inline-style', 'close-order', 'the page is 3', 'leaves the screen', 'leaves its drawing', 'color-contrast', 'image-alt', 'asks for https', 'says 1', 'folded on paper']
    .filter((word) => !seen.includes(word))
    .map((word) => `the control was not seen: ${word}`);
}

rmSync(pictures, { recursive: true, force: true });
mkdirSync(pictures, { recursive: true });
const files = readdirSync(pages).filter((f) => f.endsWith('.html')).sort();
const browser = await driver.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-gpu', '--hide-scrollbars'] });
let bad = 0;
const tell = (where, found) => {
  for (const f of found) console.log(`${where}: ${f}`);
  bad += found.length;
};
try {
  if (files.length === 0) tell(pages, ['no pages']);
  else tell('control', await control(browser, readFileSync(join(pages, files.find((f) => f.startsWith('healthy')) ?? files[0]), 'utf8')));
  let texts = 0;
  for (const file of files) {
    const url = pathToFileURL(join(pages, file)).href;
    const name = basename(file, '.html');
    tell(name, await validate(readFileSync(join(pages, file), 'utf8')));
    for (const width of WIDTHS) {
      for (const theme of THEMES) {
        const seen = await look(browser, url, width, theme, join(pictures, `${name}-${width}-${theme}`));
        tell(`${name} ${width} ${theme}`, seen.found);
        texts += seen.texts;
      }
    }
    tell(`${name} on paper`, await print(browser, url, join(pictures, `${name}.pdf`)));
  }
  if (texts < 100) tell('drawings', [`only ${texts} texts were seen`]);
  console.log(`${files.length} pages, ${WIDTHS.length * THEMES.length} looks each, ${bad} findings; pictures in ${pictures}`);
} finally {
  await browser.close();
}
process.exit(bad === 0 ? 0 : 1);
