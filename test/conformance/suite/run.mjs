// Runs the suite against the server at the URL given first, all of it or only the tests whose ids follow, and prints what
// every test was found to be, in the words of the suite's own verdicts.
import { readFileSync } from 'node:fs'
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import * as display from 'http-cache-tests/lib/display.mjs'
import suites from 'http-cache-tests/tests/index.mjs'
import surrogate from 'http-cache-tests/tests/surrogate-control.mjs'

suites.push(surrogate) // as the suite's own command line does

// How many tests run at a time. Many of them count on two or three seconds: less at once is less late on a busy machine.
const atOnce = 50

const verdicts = {
  '✅': 'pass', Y: 'pass', '⛔️': 'fail', '⚠️': 'fail', N: 'fail', '🔹': 'setup', '↻': 'retry', '⚪️': 'dependency', '⁉️': 'harness', '-': 'untested'
}

const [base, known, ...ids] = process.argv.slice(2)
const chosen = suites.map(suite => ({ ...suite, tests: suite.tests.filter(test => ids.length === 0 || ids.includes(test.id)) }))
await runTests(chosen, fetch, false, base, atOnce)

// A verdict depends on those of other tests. Those that were not run this time have the results that they had.
const results = { ...(known === '-' ? {} : JSON.parse(readFileSync(known))), ...getResults() }
const tests = []
for (const suite of suites) {
  for (const test of suite.tests) {
    if (test.browser_only) continue
    tests.push({
      id: test.id,
      suite: suite.id,
      kind: test.kind ?? 'required',
      verdict: verdicts[display.determineTestResult(suites, test.id, results)[2]],
      why: results[test.id] === true || results[test.id] === undefined ? '' : String(results[test.id][1])
    })
  }
}
console.log(JSON.stringify({ tests, results }))
