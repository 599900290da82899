// Logs lines with winston-loki: winston.cjs HOST COUNT json|protobuf.
const winston = require("winston");
const LokiTransport = require("winston-loki");

const [host, count, form] = process.argv.slice(2);
const transport = new LokiTransport({
  host,
  json: form === "json",
  labels: { job: `winston-${form}` },
  interval: 1,
  batching: true,
  useWinstonMetaAsLabels: false,
  onConnectionError: (error) => {
    console.error(error);
    process.exit(1);
  },
});
const logger = winston.createLogger({ level: "debug", transports: [transport] });
for (let number = 0; number < Number(count); number += 1) {
  logger.info(`order ${number} was late`, { order: number });
}
logger.on("finish", () => transport.flush().then(() => process.exit(0)));
logger.end();
