// Serves the page, and @stomp/stompjs as it comes from npm. Messages do not pass here: the page speaks with the broker itself.

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');

const FILES = {
  '/': ['text/html; charset=utf-8', path.join(__dirname, 'index.html')],
  '/chat.js': ['text/javascript; charset=utf-8', path.join(__dirname, 'chat.js')],
  '/stomp.js': ['text/javascript; charset=utf-8', require.resolve('@stomp/stompjs')],
};

/** Serves on a port of this machine, a free one where it is 0; resolves with the server. */
function serve(port) {
  const server = http.createServer((request, response) => {
    const file = FILES[new URL(request.url, 'http://localhost').pathname];
    if (!file) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('not here\n');
      return;
    }
    const [type, name] = file;
    response.writeHead(200, { 'content-type': type });
    fs.createReadStream(name).pipe(response);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

module.exports = { serve };

if (require.main === module) {
  const port = Number(process.env.PORT ?? 8080);
  serve(port).then(
    () => console.log(`open http://localhost:${port} in two windows`),
    (error) => {
      console.error(`cannot serve: ${error.message}`);
      process.exitCode = 1;
    },
  );
}
