// The article's pattern, on Express: an async generator over the SDK's stream, a res.write per token.
import express from 'express';
import OpenAI from 'openai';

const openai = new OpenAI({ apiKey: 'bench', baseURL: process.env.UPSTREAM_URL });

async function* streamChat(model, messages) {
  const stream = await openai.chat.completions.create({ model, messages, stream: true });
  for await (const chunk of stream) {
    const content = chunk.choices[0]?.delta?.content;
    if (content) {
      yield content;
    }
  }
}

const app = express();
app.use(express.json());

app.post('/ai/chat/stream-sse', async (req, res) => {
  const messages = [
    { role: 'system', content: req.body.systemPrompt || '你是一个专业的编程助手' },
    { role: 'user', content: req.body.message },
  ];
  try {
    res.setHeader('Content-Type', 'text/event-stream');
    res.setHeader('Cache-Control', 'no-cache');
    res.setHeader('Connection', 'keep-alive');
    res.setHeader('Access-Control-Allow-Origin', '*');
    res.status(200);
    res.write('data: {"type": "start"}\n\n');
    for await (const chunk of streamChat(req.body.model, messages)) {
      const data = JSON.stringify({ type: 'chunk', content: chunk });
      res.write(`data: ${data}\n\n`);
    }
    res.write('data: {"type": "end"}\n\n');
    res.end();
  } catch (error) {
    const data = JSON.stringify({ type: 'error', error: '服务器内部错误', message: error.message });
    res.write(`data: ${data}\n\n`);
    res.end();
  }
});

app.listen(Number(process.env.PORT), '127.0.0.1', 4096);
